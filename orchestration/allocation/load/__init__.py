"""What is asked of each model, and what a replica of it does about that. Pure."""
