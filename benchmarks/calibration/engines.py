"""What the engines do by themselves: TPOT by batch size, and prompts of several lengths alone.

Measured before and after the trace: a shared machine is not equally fast all the time.
"""

from dataclasses import dataclass

from benchmarks.calibration.sending import endpoint, made_text, send_alone
from benchmarks.coserve.calibrate import measure_profile
from benchmarks.coserve.ceiling import ProfilePoint
from benchmarks.instance import Instance
from benchmarks.statistics import mean
from benchmarks.streams import Question, Stream

PREFIX = "prefill-"
"""Request ids of the prompts begin with it."""
_PROMPT_TOKENS = (40, 140, 240)
"""The lengths of the trace's prompts."""
_PROMPTS_EACH = 2
_PROFILED_SLOTS = 12
"""The trace seldom has more at once on an engine."""


@dataclass(frozen=True)
class Engines:
    """Of all hosts together."""

    profile: list[ProfilePoint]
    prompts: list[Stream]


def measure_engines(instance: Instance, when: str) -> Engines:
    """The engine of each host, one after the other. Raises BenchmarkUnable."""
    instance.say(f"TPOT by batch size, and prompts alone, {when} the trace")
    awake = [host["awake_model"] for host in instance.hosts().values()]
    points = [
        point
        for model in awake
        # By their mean, which is what a request's TPOT is made of.
        for point in measure_profile(endpoint(instance, model), _PROFILED_SLOTS, summary=mean)
    ]
    return Engines(points, [s for model in awake for s in _prompts(instance, model, when)])


def _prompts(instance: Instance, model: str, when: str) -> list[Stream]:
    streams = []
    for number in range(_PROMPTS_EACH * len(_PROMPT_TOKENS)):
        text = made_text(number, _PROMPT_TOKENS[number % len(_PROMPT_TOKENS)])
        stream = Stream(f"{PREFIX}{when}-{model}-{number}", Question(text, 2))
        streams.append(send_alone(instance, model, stream))
    return streams
