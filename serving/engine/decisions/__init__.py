"""What an engine host decides, as pure state machines: events in, effects out.

No task, clock, socket or engine is touched here; `serving.engine.owner` applies one event at a
time and performs the effects.
"""

from serving.engine.decisions.host import HostDecisions

__all__ = ["HostDecisions"]
