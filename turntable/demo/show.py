"""Running the steps one after another, and the table at the end."""

import time
from collections.abc import Callable

import httpx
import openai
from rich.console import Console
from rich.table import Table

from analytics.errors import StoreError
from serving.config import Fleet
from serving.errors import TurntableError
from turntable.demo.answer import show_answer
from turntable.demo.batch import show_batch
from turntable.demo.failover import show_failover
from turntable.demo.observation import NotObserved, Observation
from turntable.demo.outside import Outside
from turntable.demo.own_host import show_own_host
from turntable.demo.shift import show_shift
from turntable.demo.stage import running
from turntable.demo.switch import show_switch
from turntable.settings import Settings, print_json
from turntable.settings import console as make_console

Step = Callable[[Outside, Observation], None]


def steps(fleet: Fleet) -> dict[str, Step]:
    """What is shown of such a fleet, in this order."""
    shift: dict[str, Step] = {"traffic shifts, a hotswap follows": show_shift}
    if fleet.allocation.time_sharing:
        shift = {
            "traffic shifts, a shared host switches": show_switch,
            "a model gets a host of its own": show_own_host,
        }
    return {
        "a question is answered": show_answer,
        **shift,
        "batch yields and loses nothing": show_batch,
        "a host dies in mid-stream": show_failover,
    }


def run_demo(chosen: Settings, *, as_json: bool) -> bool:
    """Run every step against an instance; whether everything was observed."""
    console = make_console(stderr=as_json)
    with running(chosen, console):
        fleet = chosen.fleet()
        outside = Outside(
            fleet, chosen.state, lambda sentence: console.print(f"[dim]  {sentence}[/]")
        )
        observations = [
            run_step(name, step, outside, console) for name, step in steps(fleet).items()
        ]
    if as_json:
        print_json(observations)
    else:
        console.print(as_table(observations))
    return all(observation.observed for observation in observations)


def run_step(name: str, step: Step, outside: Outside, console: Console) -> Observation:
    """One step; what goes wrong in it is part of what was observed."""
    console.print(f"[bold]{name}[/]")
    observation = Observation(step=name)
    began = time.monotonic()
    try:
        step(outside, observation)
    except openai.AuthenticationError:
        observation.missing.append(
            "the gateway refused the operator's key of this state folder; it runs over another "
            "one (name that with --state), or was started before the key was made (restart it)"
        )
    except (NotObserved, TurntableError, StoreError, openai.OpenAIError, httpx.HTTPError) as error:
        observation.missing.append(str(error))
    observation.seconds = round(time.monotonic() - began, 2)
    observation.observed = bool(observation.seen) and not observation.missing
    return observation


def as_table(observations: list[Observation]) -> Table:
    """What happened, and how long each step took."""
    table = Table(show_lines=True)
    for heading in ("step", "observed", "what was seen", "seconds"):
        table.add_column(heading)
    for entry in observations:
        verdict = "[green]yes[/]" if entry.observed else "[red]NO[/]"
        lines = [*entry.seen, *(f"[red]missing:[/] {sentence}" for sentence in entry.missing)]
        table.add_row(entry.step, verdict, "\n".join(lines), f"{entry.seconds:.1f}")
    return table
