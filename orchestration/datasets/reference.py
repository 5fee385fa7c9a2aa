"""Renders `docs/datasets.md`, the reference of dataset files, from the schema.

python -m orchestration.datasets.reference > docs/datasets.md
"""

from pydantic import BaseModel

from orchestration.datasets import declaration
from serving.config.reference import page

EXAMPLE = """\
description: What customers complain about, by review.
source: {kind: file, path: "reviews/{partition}.parquet", id: review_id}
template:
  system: You read reviews of a shop.
  prompt: "Which part of the shop is this about?\\n\\n{{ text }}"
model: smollm2
sampling:
  max_tokens: 64
  response_schema:
    type: object
    properties: {part: {type: string}}
    required: [part]
partitions: {by: daily, start: 2026-01-01, timezone: Europe/Berlin}
schedule: {cron: "30 2 * * *"}
output: {columns: [shop, stars]}
retries: {errors: 1}
freshness: {within_h: 30}
checks: {max_error_rate: 0.01, min_rows: 1}
"""

_INTRODUCTION = f"""\
# Datasets

A dataset is batch work that comes again and again. A YAML file declares it: where its rows come
from, how a row becomes a request, which model, when, and where answers go. No Python is needed. The
file's name is the dataset's: `reviews.yaml` becomes the assets `reviews_prompts` and
`reviews_completions`, the job `reviews` and, if it has one, the schedule `reviews_schedule`.

```yaml
# config/datasets/reviews.yaml
{EXAMPLE}```

Files are found in the folder `datasets` beside the fleet file (`datasets` of the fleet file names
another one). What was added, changed or taken away is seen within seconds, or at once with
*Reload* of the code location `turntable` in the Dagster UI; a run reads the file as it is when the
run begins.

While one of the files cannot be used, all definitions stay as they were, and a run of its dataset
fails. `turntable datasets` and *Reload* say which file it is and what is wrong; the pages show a
failed *Reload* for up to 10 s, then the definitions again. Where Turntable starts with such a file,
it takes nothing else down: its assets say what is wrong, and whatever begins of it fails until it
is mended.

One dataset comes with Turntable: `batch`, [a file a day](batch.md#a-file-a-day). A file
`batch.yaml` of your own takes its place.

## What a run does

- It reads the source whole and refuses it if rows cannot be told apart or a column is missing.
  A row that cannot be asked (an unknown model, a null that the template needs) ends with an error,
  alone.
- What has no answer yet is asked in the flex tier. While no replica can serve, it waits, and
  says for what.
- Answers are kept as they come, in `checkpoints/` beside the output. A run that follows another, or
  one that died, asks only for what is missing or has changed, and rows that were in flight go on
  from the tokens they had. The run after a death starts by itself, within seconds.
  `retry_errors` in the launchpad asks again for rows that ended with an error.
- The output has a row for each row of the source, in its order:
  `{"`, `".join(declaration.ANSWER_COLUMNS)}`, then `output.columns`. It is replaced as a whole.
- The page of the completions shows how far a run is (rates, when it will end, evictions, what it
  waits for), ever more rarely in a long run, and at its end a picture and a sample of rows.
- Backfills and reruns are Dagster's: choose partitions in the pages, *Materialize*.

## Placeholders in paths

`{{name}}` is the dataset's name, `{{state}}` the state folder, `{{partition}}` the partition's key.
Where partitions are periods, `{{start}}` and `{{end}}` are their ends, with a format if wanted:
`{{start:%Y/%m/%d}}`.

This page is rendered from the schema:
`python -m orchestration.datasets.reference > docs/datasets.md`.
"""

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("(top level)", declaration.Dataset),
    ("source, kind: file", declaration.FileSource),
    ("source, kind: query", declaration.QuerySource),
    ("source, kind: traffic", declaration.TrafficSource),
    ("template", declaration.Template),
    ("template.messages[]", declaration.TemplateMessage),
    ("sampling", declaration.Sampling),
    ("partitions", declaration.Partitions),
    ("schedule", declaration.Schedule),
    ("output", declaration.Output),
    ("retries", declaration.Retries),
    ("freshness", declaration.Freshness),
    ("checks", declaration.Checks),
)


def render() -> str:
    """The whole page."""
    return page(_INTRODUCTION, _SECTIONS)


if __name__ == "__main__":
    print(render(), end="")
