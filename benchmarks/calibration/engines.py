"""What the engines do by themselves: TPOT by batch size, and prompts of several lengths alone.

Also TPOT by batch size with all engines at work: hosts of one machine share its cores. Measured
before and after the trace: a shared machine is not equally fast all the time.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

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
    together: list[ProfilePoint]
    prompts: list[Stream]


def measure_engines(instance: Instance, when: str) -> Engines:
    """The engine of each host, one after the other, and all at once. Raises BenchmarkUnable."""
    instance.say(f"TPOT by batch size, and prompts alone, {when} the trace")
    awake = [host["awake_model"] for host in instance.hosts().values()]
    alone = [_profile(instance, model) for model in awake]
    with ThreadPoolExecutor(len(awake)) as pool:
        together = list(pool.map(lambda model: _profile(instance, model), awake))
    prompts = [s for model in awake for s in _prompts(instance, model, when)]
    return Engines(list(chain(*alone)), list(chain(*together)), prompts)


def _profile(instance: Instance, model: str) -> list[ProfilePoint]:
    # By their mean, which is what a request's TPOT is made of.
    return measure_profile(endpoint(instance, model), _PROFILED_SLOTS, summary=mean)


def _prompts(instance: Instance, model: str, when: str) -> list[Stream]:
    streams = []
    for number in range(_PROMPTS_EACH * len(_PROMPT_TOKENS)):
        text = made_text(number, _PROMPT_TOKENS[number % len(_PROMPT_TOKENS)])
        stream = Stream(f"{PREFIX}{when}-{model}-{number}", Question(text, 2))
        streams.append(send_alone(instance, model, stream))
    return streams
