"""The engine host: one accelerator, all its engines, exactly one of them awake."""
