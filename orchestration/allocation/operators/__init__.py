"""What overrules demand: what operators told, kept in a file, and hotswaps that failed."""
