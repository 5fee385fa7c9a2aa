"""Which host gets which slot, at the least cost of swaps and disturbed requests. Pure."""
