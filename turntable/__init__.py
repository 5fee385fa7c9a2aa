"""The command-line tool, and the supervision of an embedded Turntable."""
