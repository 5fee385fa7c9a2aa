"""Who goes next of the requests that wait for the engines of one model.

Belongs here: that order, from when each is due and how long its prompt takes. Does not: which
engine gets it (the gateway's placement), which model an engine has (`serving.switching`), clocks.
The gateway and the simulator keep their requests in the same `Line`.
"""

from serving.queueing.line import Line

__all__ = ["Line"]
