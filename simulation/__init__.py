"""Replaying arrival traces against a modelled fleet: what a policy would have done to its users.

The planner, its demand and its capacity are `orchestration.allocation`'s own. Here are the model of
engines and hosts, the clock, the policies that are compared, and what is counted. Nothing here
talks to a process.
"""
