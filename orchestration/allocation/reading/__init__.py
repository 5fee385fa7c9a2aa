"""What the planner is given: the fleet, the traffic, the last plan; and how they differ."""
