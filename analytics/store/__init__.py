"""The one process that owns the traffic database and serves it over Quack."""
