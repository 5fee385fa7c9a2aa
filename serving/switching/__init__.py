"""The switching rule: which model a shared host wakes next, and when. Pure.

Belongs here: the decision for hosts that may have several models awake in turn, from what runs and
what waits. Does not: reading those, sending the switch (the gateway), making it (the engine
host), granting sets of models (the planner). The gateway and the simulator call the same function.
"""

from serving.switching.rule import decide
from serving.switching.view import Decision, Queue, SharedHost, Switch

__all__ = ["Decision", "Queue", "SharedHost", "Switch", "decide"]
