"""What a row asks for: a request of the gateway's chat endpoint, or why there can be none. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from orchestration.batch.asks import Ask, Shard, key_of
from orchestration.datasets.declaration import Sampling
from orchestration.datasets.loading import LoadedDataset
from orchestration.datasets.patterns import Portion
from orchestration.datasets.sources import Rows
from orchestration.datasets.templates import PARTITION, renderer

CHAT = "/v1/chat/completions"
_TYPES: dict[str, type[int] | type[float]] = {
    "max_tokens": int,
    "temperature": float,
    "top_p": float,
    "seed": int,
}


class Requests:
    """The requests of a portion's rows. Bodies are made when they are taken, not kept."""

    def __init__(
        self, dataset: LoadedDataset, portion: Portion, rows: Rows, models: Iterable[str]
    ) -> None:
        self._dataset, self._portion, self._rows = dataset, portion, rows
        self._models = frozenset(models)
        self._render = renderer(dataset.declared.template)
        self._row_of: dict[int, int] = {}
        self.keys: list[int | None] = []
        """Of each row's ask; None: it cannot be asked."""
        self.row_models: list[str] = []
        self.refused: dict[int, str] = {}
        """Rows that cannot be asked, and why."""
        for number in range(rows.frame.height):
            self._look_at(number)

    def shards(self) -> list[Shard]:
        """The asks, a shard a model."""
        by_model: dict[str, list[int]] = {}
        for key, model in zip(self.keys, self.row_models, strict=True):
            if key is not None:
                by_model.setdefault(model, []).append(key)
        return [
            Shard(name=model, model=model, keys=keys, read=self.read)
            for model, keys in by_model.items()
        ]

    def read(self, keys: Iterable[int]) -> Iterator[Ask]:
        """The asks of these keys."""
        for key in keys:
            yield self._ask(self._row_of[key])

    def _look_at(self, number: int) -> None:
        row = self._row(number)
        self.row_models.append(self._model(row))
        try:
            ask = self._ask(number)
        except ValueError as error:
            self.refused[number] = str(error)
            self.keys.append(None)
        else:
            self._row_of[ask.key] = number
            self.keys.append(ask.key)

    def _ask(self, number: int) -> Ask:
        row, name = self._row(number), self._rows.ids[number]
        model = self._model(row)
        if model not in self._models:
            raise ValueError(f"no model is called {model!r}")
        body = msgspec.json.encode(self._body(row, model))
        return Ask(
            key=key_of(name.encode(), body), custom_id=name, path=CHAT, model=model, body=body
        )

    def _row(self, number: int) -> dict[str, Any]:
        return {PARTITION: self._portion.partition, **self._rows.frame.row(number, named=True)}

    def _model(self, row: Mapping[str, Any]) -> str:
        overridden = "model" in self._dataset.declared.overrides
        return str((row.get("model") if overridden else None) or self._dataset.model)

    def _body(self, row: Mapping[str, Any], model: str) -> dict[str, Any]:
        declared = self._dataset.declared
        settings = sampling_fields(declared.sampling)
        for name in declared.overrides:
            if name != "model" and row.get(name) is not None:
                settings[name] = _converted(name, row[name])
        return {"model": model, "messages": self._render(row), **settings}


def sampling_fields(sampling: Sampling) -> dict[str, Any]:
    """The fields of a request that say how tokens are chosen."""
    fields: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stop": sampling.stop or None,
    }
    if sampling.response_schema is not None:
        fields["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": sampling.response_schema, "strict": True},
        }
    return {name: value for name, value in fields.items() if value is not None} | sampling.extra


def _converted(name: str, value: Any) -> int | float:
    try:
        number = _TYPES[name](value)
        if math.isfinite(number):  # JSON knows no other: it would be left to the model
            return number
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is {value!r}, not a number") from error
    raise ValueError(f"{name} is {value!r}, not a number")
