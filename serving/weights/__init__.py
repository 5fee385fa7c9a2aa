"""Turns a model's source into a checkpoint folder that vLLM loads."""
