"""The commands, one module each: arguments in, tables or JSON out. The work is done elsewhere."""
