"""Which slots the pool is to have: what every replica is worth, what is shared. Pure."""
