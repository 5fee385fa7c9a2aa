"""How long to wait before a host is left: the few numbers of the rule, with reasons. Pure."""

from serving.switching.view import SharedHost

BATCH_WAIT_S = 30.0
"""Batch waits this long before a host is taken from other batch work: a swap there and back is then
a few percent of what the host does in between."""

LENT_AFTER_S = 10.0
"""A host that nobody used for so long is lent to batch work that has other hosts already. Who comes
back to it waits for a swap, and what runs there is computed again elsewhere: not for every short
pause."""

BATCH_BOUND_S = 600.0
"""Batch that waited this long is treated as interactive: nothing waits for ever."""

MOST_RESUME_S = 30.0
"""However long what runs would take to compute again: every wait is bounded."""

LATE_RESUMES = 6.0
"""Where whoever waits will be late however soon the host is left, it works six times as long as
what runs takes to compute again: that is lost anew at every turn, and was most of the time of hosts
that models with long prompts share when there are too few."""

ASSUMED_WAKE_S = 1.0
"""Where nobody said how long a model takes to wake."""


def wake_s(host: SharedHost, model: str) -> float:
    """Seconds until `model` would serve on `host`."""
    return ASSUMED_WAKE_S if host.wake_s is None else host.wake_s.get(model, ASSUMED_WAKE_S)


def patience_s(ttft_s: float, wake_s: float) -> float:
    """How long an interactive request waits for an idle host before a busy one is taken.

    Half of what the service level leaves beside the swap: the other half is for the prompt, and for
    what is queued on that host. Where a swap alone breaks the level there is nothing to hurry for,
    and the wait is as long as the swap: never more than twice what knowing would cost.
    """
    left_s = ttft_s - wake_s
    return left_s / 2 if left_s > 0 else wake_s


def last_call_s(ttft_s: float, wake_s: float) -> float:
    """How long it waits for a host on which requests still wait for their first token."""
    return 2 * patience_s(ttft_s, wake_s)


def stay_s(host: SharedHost, *, resumes: float = 1.0) -> float:
    """How long a host keeps a model that is in use: for as long as leaving it costs.

    That is the time to wake it again and to compute again what runs, this taken `resumes` times. So
    at least half of the time of a host that everybody wants is progress.
    """
    assert host.awake is not None
    return wake_s(host, host.awake) + resumes * min(host.resume_s, MOST_RESUME_S)


def too_late(ttft_s: float, wake_s: float, waited_s: float) -> bool:
    """Whether the first request would be late if its model were woken now."""
    return waited_s + wake_s > ttft_s
