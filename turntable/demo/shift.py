"""Step 2: traffic shifts to a model without a replica, and an allocation run swaps it in."""

import time
from typing import Any

from turntable.demo.observation import NotObserved, Observation
from turntable.demo.outside import Outside

_RUNS = """query ($kind: String!, $after: Float!) {
  runsOrError(filter: {tags: [{key: "turntable/kind", value: $kind}], createdAfter: $after}) {
    ... on Runs { results { runId status creationTime startTime endTime tags { key value } } } }
}"""
_RUN_S = 180.0


def show_shift(outside: Outside, observation: Observation) -> None:
    """Ask a model that nobody serves; then find the run that brought it, and the hotswap."""
    model = _model_without_replica(outside)
    asked_at = time.time()
    outside.say(f"asking {model}, which has no replica")
    answer = outside.chat_client().chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Name three colours."}],
        max_tokens=24,
        temperature=0,
    )
    answered_s = time.time() - asked_at
    text = (answer.choices[0].message.content or "").strip()
    observation.expect(bool(text), f"{model} had no replica; answered after {answered_s:.1f} s")
    swap = outside.wait_for(
        f"the hotswap to {model} in the traffic store",
        lambda: _swap(outside, model, asked_at),
        30,
    )
    observation.note(
        f"hotswap on {swap['host']}: {swap['from_model']} -> {model} ({swap['from_tier']}), "
        f"{swap['total_s']:.1f} s, plan {swap['plan_id']}"
    )
    run = outside.wait_for(
        "the end of the allocation run", lambda: _finished_run(outside, asked_at), _RUN_S
    )
    observation.expect(run["status"] == "SUCCESS", _describe(run, asked_at))


def _model_without_replica(outside: Outside) -> str:
    awake = {host.get("awake_model") for host in outside.hosts()}
    for model in outside.fleet.models:
        if model.name not in awake and model.max_replicas > 0:
            return model.name
    raise NotObserved("every model has a replica already, so there is nothing to shift to")


def _swap(outside: Outside, model: str, since: float) -> dict[str, Any] | None:
    rows = outside.sql(
        "SELECT host, plan_id, from_model, from_tier, total_s FROM swaps "
        "WHERE to_model = $model AND outcome = 'committed' AND ended_at > $since "
        "ORDER BY ended_at LIMIT 1",
        model=model,
        since=since,
    )
    return rows.row(0, named=True) if rows.height else None


def _finished_run(outside: Outside, since: float) -> dict[str, Any] | None:
    """The first allocation run asked for since then, once it has ended."""
    found = outside.graphql(_RUNS, kind="allocation", after=since)["runsOrError"]
    runs: list[dict[str, Any]] = sorted(
        found.get("results", []), key=lambda run: float(run["creationTime"])
    )
    if not runs or runs[0]["endTime"] is None:
        return None
    return runs[0]


def _describe(run: dict[str, Any], asked_at: float) -> str:
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    trigger = tags.get("turntable/trigger", "unknown")
    return (
        f"Dagster allocation run {run['runId'][:8]} {run['status'].lower()}: asked for "
        f"{run['creationTime'] - asked_at:.1f} s after the request, took "
        f"{run['endTime'] - run['startTime']:.1f} s; because: {trigger}"
    )
