"""What `turntable plan` shows: the plan of now with its reasons, and what was decided before."""
