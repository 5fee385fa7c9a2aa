"""Step 3: a batch partition fills the slots, yields to interactive requests, and loses no row."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial
from typing import Any, NamedTuple

import polars

from turntable.demo.observation import NotObserved, Observation
from turntable.demo.outside import Outside

ROWS = (40, 160, 640)
"""Of the batch; of a larger one, where the smaller had ended before an interactive request came."""
_ROW_TOKENS = 160
_INTERACTIVE = 6
_TOKENS_BEFORE_CHAT = 300
_FILLS_S = 300.0
_RUN_S = 600.0
_RECORDED_S = 120.0
_FIRST_DAY = date(2026, 1, 1)
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
_LAUNCH = """mutation ($tags: [ExecutionTag!]!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "turntable", repositoryName: "__repository__",
               jobName: "batch"},
    runConfigData: {}, executionMetadata: {tags: $tags} }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } } }
}"""
_RUN = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status startTime endTime } } }"
_CHECK = """{ assetCheckExecutions(
    assetKey: {path: ["batch_completions"]}, checkName: "every_row_accounted_for", limit: 5) {
  runId evaluation { success metadataEntries { label ... on IntMetadataEntry { intValue } } } } }"""
_EVICTED = """
SELECT count(*) AS evictions, count(DISTINCT request_id) AS requests,
       coalesce(sum(kept_tokens), 0)::BIGINT AS kept_tokens
FROM evictions WHERE reason = 'evicted' AND model = $model AND evicted_at > $since"""
_RESUMED = """
SELECT count(*) AS requests FROM requests
WHERE request_class = 'batch' AND model = $model AND arrived_at > $since
  AND (attempts > 1 OR held_s > 0) AND outcome = 'completed'"""
_GENERATED = """
SELECT coalesce(sum(output_tokens), 0)::BIGINT AS tokens FROM engine_samples
WHERE awake_model = $model AND running_batch > $cap AND sampled_at > $since"""
_INTERACTIVE_TTFT = """
SELECT median(ttft_s) AS p50, max(ttft_s) AS worst FROM requests
WHERE request_class = 'interactive' AND model = $model AND arrived_at > $since"""


class Batch(NamedTuple):
    """A launched partition."""

    model: str
    day: str
    rows: int
    run_id: str
    since: float


def show_batch(outside: Outside, observation: Observation) -> None:
    """Launch one day's partition by GraphQL, and chat while it runs."""
    batch = launched_and_evicted(outside)
    run = _await_run(outside, batch)
    observation.expect(
        run["status"] == "SUCCESS",
        f"batch partition {batch.day}, run {batch.run_id[:8]}: {run['status'].lower()}, "
        f"{batch.rows} rows in {run['endTime'] - run['startTime']:.0f} s",
    )
    _expect_yielding(outside, observation, batch)
    _expect_rows(outside, observation, batch)


def launched_and_evicted(outside: Outside) -> Batch:
    """A batch that had to make room for interactive requests, or the largest that did not."""
    model = outside.fleet.models[0].name
    for rows in ROWS:
        batch = _launched(outside, model, rows)
        outside.wait_for(
            f"the batch to fill {model}'s slots and to generate",
            partial(_generated_or_ended, outside, batch),
            _FILLS_S,
        )
        while (run := _ended_run(outside, batch)) is None:
            _chat(outside, model)
            if _evicted(outside, batch) is not None:
                return batch
        if run["status"] != "SUCCESS" or _evicted(outside, batch) is not None:
            return batch
    return batch


def _launched(outside: Outside, model: str, rows: int) -> Batch:
    day = _free_day(outside)
    _write_prompts(outside, day, model, rows)
    since = time.time()
    return Batch(model, day, rows, _launch(outside, day), since)


def _generated_or_ended(outside: Outside, batch: Batch) -> bool | None:
    generated = _generated(outside, batch) >= _TOKENS_BEFORE_CHAT
    return generated or _ended_run(outside, batch) is not None or None


def _free_day(outside: Outside) -> str:
    """A day of the past that nobody has prompts for."""
    day = _FIRST_DAY
    while (outside.state.prompts / f"{day}.parquet").exists():
        day += timedelta(days=1)
    return str(day)


def _write_prompts(outside: Outside, day: str, model: str, rows: int) -> None:
    subjects = ["rivers", "bread", "music", "winter", "trains", "gardens", "the moon", "chess"]
    frame = polars.DataFrame(
        {
            "id": [f"demo-{index:03d}" for index in range(rows)],
            "prompt": [
                f"Tell me a long story about {subjects[index % len(subjects)]}, part {index}."
                for index in range(rows)
            ],
            "model": [model] * rows,
            "max_tokens": [_ROW_TOKENS] * rows,
        }
    )
    outside.say(f"writing {rows} prompts for {day}")
    path = outside.state.prompts / f"{day}.parquet"
    partial = path.with_suffix(".partial")
    frame.write_parquet(partial)
    partial.rename(path)


def _launch(outside: Outside, day: str) -> str:
    outside.say(f"launching the batch partition {day}")
    tags = [
        {"key": "dagster/partition", "value": day},
        {"key": "turntable/kind", "value": "batch"},
    ]
    answer = outside.graphql(_LAUNCH, tags=tags)["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        raise NotObserved(f"Dagster did not launch the batch run: {answer}")
    run_id: str = answer["run"]["runId"]
    return run_id


def _generated(outside: Outside, batch: Batch) -> int:
    """Tokens generated while more batch requests ran than may run beside interactive ones."""
    cap = outside.fleet.model(batch.model).interactive_cap
    tokens: int = outside.sql(_GENERATED, model=batch.model, cap=cap, since=batch.since).item()
    return tokens


def _chat(outside: Outside, model: str) -> None:
    outside.say(f"asking {_INTERACTIVE} interactive questions meanwhile")
    client = outside.chat_client()

    def ask(number: int) -> None:
        client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": f"Say something about the number {number}."}],
            max_tokens=24,
        )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, range(_INTERACTIVE)))


def _await_run(outside: Outside, batch: Batch) -> dict[str, Any]:
    return outside.wait_for("the end of the batch run", lambda: _ended_run(outside, batch), _RUN_S)


def _ended_run(outside: Outside, batch: Batch) -> dict[str, Any] | None:
    run: dict[str, Any] = outside.graphql(_RUN, id=batch.run_id)["runOrError"]
    return run if run.get("status") in _ENDED else None


def _evicted(outside: Outside, batch: Batch) -> dict[str, Any] | None:
    """What the store knows of evictions that kept tokens."""
    row = outside.sql(_EVICTED, model=batch.model, since=batch.since).row(0, named=True)
    return row if row["kept_tokens"] else None


def _resumed(outside: Outside, batch: Batch) -> int | None:
    resumed: int = outside.sql(_RESUMED, model=batch.model, since=batch.since).item()
    return resumed or None


def _expect_yielding(outside: Outside, observation: Observation, batch: Batch) -> None:
    row = outside.wait_for(
        "evictions in the traffic store", lambda: _evicted(outside, batch), _RECORDED_S
    )
    observation.note(
        f"{row['evictions']} evictions of {row['requests']} batch requests for interactive ones"
    )
    resumed = outside.wait_for(
        "evicted requests that completed", lambda: _resumed(outside, batch), _RECORDED_S
    )
    observation.note(
        f"{row['kept_tokens']} generated tokens kept; {resumed} requests went on and completed"
    )
    ttft = outside.sql(_INTERACTIVE_TTFT, model=batch.model, since=batch.since).row(0, named=True)
    if ttft["p50"] is not None:
        observation.note(
            f"interactive TTFT beside the batch: median {ttft['p50']:.2f} s, "
            f"worst {ttft['worst']:.2f} s"
        )


def _expect_rows(outside: Outside, observation: Observation, batch: Batch) -> None:
    def checked() -> dict[str, Any] | None:
        for execution in outside.graphql(_CHECK)["assetCheckExecutions"]:
            if execution["runId"] == batch.run_id and execution["evaluation"]:
                found: dict[str, Any] = execution["evaluation"]
                return found
        return None

    evaluation = outside.wait_for("Dagster's check of the rows", checked, _RECORDED_S)
    observation.expect(evaluation["success"], "Dagster's check: every row accounted for")
    answered = polars.read_parquet(outside.state.completions / f"{batch.day}.parquet")
    once = answered.height == answered["id"].n_unique() == batch.rows
    errors = answered["error"].is_not_null().sum()
    observation.expect(
        once and not errors, f"{answered.height} rows, each exactly once, {errors} with an error"
    )
