"""The asset graph: weights, traffic, the plan, what every model serves, batch."""
