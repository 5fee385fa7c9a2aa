"""The policies that are compared. Each decides from what it may know, and nothing else."""
