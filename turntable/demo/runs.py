"""Allocation runs, as Dagster's GraphQL tells of them, and the hotswaps in the traffic store."""

from typing import Any

from turntable.demo.outside import Outside

_RUNS = """query ($kind: String!, $after: Float!) {
  runsOrError(filter: {tags: [{key: "turntable/kind", value: $kind}], createdAfter: $after}) {
    ... on Runs { results { runId status creationTime startTime endTime tags { key value } } } }
}"""
_SWAP = """
SELECT host, plan_id, from_model, from_tier, total_s, coalesce(kind, 'planned') AS kind FROM swaps
WHERE to_model = $model AND outcome = 'committed' AND ended_at > $since ORDER BY ended_at LIMIT 1"""
_RUN_S = 300.0
_RECORDED_S = 120.0


def hotswap_since(outside: Outside, model: str, since: float) -> dict[str, Any]:
    """The first hotswap to `model` that ended after `since`, once it is recorded."""

    def recorded() -> dict[str, Any] | None:
        rows = outside.sql(_SWAP, model=model, since=since)
        return rows.row(0, named=True) if rows.height else None

    what = f"the hotswap to {model} in the traffic store"
    return outside.wait_for(what, recorded, _RECORDED_S)


def run_since(outside: Outside, since: float) -> dict[str, Any]:
    """The first allocation run asked for after `since`, once it has ended."""

    def ended() -> dict[str, Any] | None:
        runs = _runs(outside, since)
        return runs[0] if runs and runs[0]["endTime"] is not None else None

    return outside.wait_for("the end of the allocation run", ended, _RUN_S)


def runs_asked_for(outside: Outside, since: float, until: float) -> int:
    """How many allocation runs were asked for between two moments."""
    return sum(run["creationTime"] <= until for run in _runs(outside, since))


def in_words(run: dict[str, Any], cause: str, since: float) -> str:
    """A run with its times; `cause` came at `since`."""
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    trigger = tags.get("turntable/trigger", "unknown")
    return (
        f"Dagster allocation run {run['runId'][:8]} {run['status'].lower()}: asked for "
        f"{run['creationTime'] - since:.1f} s after {cause}, took "
        f"{run['endTime'] - run['startTime']:.1f} s; because: {trigger}"
    )


def _runs(outside: Outside, since: float) -> list[dict[str, Any]]:
    found = outside.graphql(_RUNS, kind="allocation", after=since)["runsOrError"]
    return sorted(found.get("results", []), key=lambda run: float(run["creationTime"]))
