"""Step 3: a batch partition fills the slots, yields to interactive requests, and loses no row."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import polars

from turntable.demo.observation import NotObserved, Observation
from turntable.demo.outside import Outside

_ROWS = 40
_ROW_TOKENS = 160
_INTERACTIVE = 6
_TOKENS_BEFORE_CHAT = 300
_RUN_S = 600.0
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


def show_batch(outside: Outside, observation: Observation) -> None:
    """Launch one day's partition by GraphQL, and chat while it runs."""
    model = outside.fleet.models[0].name
    day = _free_day(outside)
    _write_prompts(outside, day, model)
    since = time.time()
    run_id = _launch(outside, day)
    outside.wait_for(
        f"the batch to fill {model}'s slots and to generate",
        lambda: _generated(outside, model, since),
        120,
    )
    _chat(outside, model)
    run = outside.wait_for("the end of the batch run", lambda: _ended_run(outside, run_id), _RUN_S)
    observation.expect(
        run["status"] == "SUCCESS",
        f"batch partition {day}, run {run_id[:8]}: {run['status'].lower()}, "
        f"{_ROWS} rows in {run['endTime'] - run['startTime']:.0f} s",
    )
    _expect_yielding(outside, observation, model, since)
    _expect_rows(outside, observation, day, run_id)


def _free_day(outside: Outside) -> str:
    """A day of the past that nobody has prompts for."""
    day = _FIRST_DAY
    while (outside.state.prompts / f"{day}.parquet").exists():
        day += timedelta(days=1)
    return str(day)


def _write_prompts(outside: Outside, day: str, model: str) -> None:
    subjects = ["rivers", "bread", "music", "winter", "trains", "gardens", "the moon", "chess"]
    frame = polars.DataFrame(
        {
            "id": [f"demo-{index:03d}" for index in range(_ROWS)],
            "prompt": [
                f"Tell me a long story about {subjects[index % len(subjects)]}, part {index}."
                for index in range(_ROWS)
            ],
            "model": [model] * _ROWS,
            "max_tokens": [_ROW_TOKENS] * _ROWS,
        }
    )
    outside.say(f"writing {_ROWS} prompts for {day}")
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


def _generated(outside: Outside, model: str, since: float) -> int | None:
    """Tokens generated while more batch requests ran than may run beside interactive ones."""
    cap = outside.fleet.model(model).interactive_cap
    tokens: int = outside.sql(_GENERATED, model=model, cap=cap, since=since).item()
    return tokens if tokens >= _TOKENS_BEFORE_CHAT else None


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


def _ended_run(outside: Outside, run_id: str) -> dict[str, Any] | None:
    run: dict[str, Any] = outside.graphql(_RUN, id=run_id)["runOrError"]
    return run if run.get("status") in _ENDED else None


def _expect_yielding(outside: Outside, observation: Observation, model: str, since: float) -> None:
    def evicted() -> dict[str, Any] | None:
        row = outside.sql(_EVICTED, model=model, since=since).row(0, named=True)
        return row if row["evictions"] else None

    row = outside.wait_for("evictions in the traffic store", evicted, 30)
    observation.note(
        f"{row['evictions']} evictions of {row['requests']} batch requests for interactive ones"
    )
    resumed = outside.sql(_RESUMED, model=model, since=since).item()
    observation.expect(
        row["kept_tokens"] > 0 and resumed > 0,
        f"{row['kept_tokens']} generated tokens kept; {resumed} requests went on and completed",
    )
    ttft = outside.sql(_INTERACTIVE_TTFT, model=model, since=since).row(0, named=True)
    if ttft["p50"] is not None:
        observation.note(
            f"interactive TTFT beside the batch: median {ttft['p50']:.2f} s, "
            f"worst {ttft['worst']:.2f} s"
        )


def _expect_rows(outside: Outside, observation: Observation, day: str, run_id: str) -> None:
    def checked() -> dict[str, Any] | None:
        for execution in outside.graphql(_CHECK)["assetCheckExecutions"]:
            if execution["runId"] == run_id and execution["evaluation"]:
                found: dict[str, Any] = execution["evaluation"]
                return found
        return None

    evaluation = outside.wait_for("Dagster's check of the rows", checked, 30)
    observation.expect(evaluation["success"], "Dagster's check: every row accounted for")
    answered = polars.read_parquet(outside.state.completions / f"{day}.parquet")
    once = answered.height == answered["id"].n_unique() == _ROWS
    errors = answered["error"].is_not_null().sum()
    observation.expect(
        once and not errors, f"{answered.height} rows, each exactly once, {errors} with an error"
    )
