"""The status of a running instance: collected from its interfaces, and shown."""
