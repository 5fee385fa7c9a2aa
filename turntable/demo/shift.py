"""Where no host switches by itself: traffic shifts to another model, and a run swaps it in."""

import time

from turntable.demo.observation import NotObserved, Observation
from turntable.demo.outside import Outside
from turntable.demo.runs import hotswap_since, in_words, run_since


def show_shift(outside: Outside, observation: Observation) -> None:
    """Ask a model that nobody serves; then find the run that brought it, and the hotswap."""
    model = model_without_replica(outside)
    asked_at = time.time()
    ask(outside, observation, model)
    swap = hotswap_since(outside, model, asked_at)
    observation.note(
        f"hotswap on {swap['host']}: {swap['from_model']} -> {model} ({swap['from_tier']}), "
        f"{swap['total_s']:.1f} s, plan {swap['plan_id']}"
    )
    run = run_since(outside, asked_at)
    observation.expect(run["status"] == "SUCCESS", in_words(run, "the request", asked_at))


def model_without_replica(outside: Outside) -> str:
    """The first that no host has awake. Raises NotObserved if there is none."""
    awake = {host.get("awake_model") for host in outside.hosts()}
    for model in outside.fleet.models:
        if model.name not in awake and model.max_replicas > 0:
            return model.name
    raise NotObserved("every model has a replica already, so there is nothing to shift to")


def ask(outside: Outside, observation: Observation, model: str) -> None:
    """One question to a model without a replica, and how long its answer took."""
    asked = time.monotonic()
    outside.say(f"asking {model}, which has no replica")
    answer = outside.chat_client().chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Name three colours."}],
        max_tokens=24,
        temperature=0,
    )
    answered_s = time.monotonic() - asked
    text = (answer.choices[0].message.content or "").strip()
    observation.expect(bool(text), f"{model} had no replica; answered after {answered_s:.1f} s")
