"""Renders `docs/fleet.md`, the reference of the fleet file, from the schema.

python -m serving.config.reference > docs/fleet.md
"""

import types
import typing
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from serving.config import accounts, fleet

_INTRODUCTION = """\
# The fleet file

`config/fleet.yaml` says which engine hosts there are and which models they share. It is checked
when it is loaded; an error names the file, the key, what is wrong and the fix. `turntable --fleet
FILE` uses another one; `config/fleet.gpu.yaml` is an example for GPUs.

This page is rendered from the schema: `python -m serving.config.reference > docs/fleet.md`.
"""

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("(top level)", fleet.Fleet),
    ("hosts[]", fleet.HostSettings),
    ("models[]", fleet.ModelSettings),
    ("models[].service_levels", fleet.ServiceLevels),
    ("models[].source, kind: packaged", fleet.PackagedSource),
    ("models[].source, kind: hub", fleet.HubSource),
    ("models[].source, kind: local", fleet.LocalSource),
    ("models[].source, kind: random", fleet.RandomSource),
    ("keys[]", accounts.ApiKey),
    ("gateway", fleet.GatewaySettings),
    ("batches", fleet.BatchSettings),
    ("store", fleet.StoreSettings),
    ("weights", fleet.WeightsSettings),
    ("dagster", fleet.DagsterSettings),
    ("allocation", fleet.AllocationSettings),
)


def render() -> str:
    """The whole page."""
    return page(_INTRODUCTION, _SECTIONS)


def page(introduction: str, sections: Iterable[tuple[str, type[BaseModel]]]) -> str:
    """A page of a file's schema: a table for each section."""
    return "\n".join([introduction, *(_section(*section) for section in sections)])


def _section(title: str, schema: type[BaseModel]) -> str:
    summary = " ".join((schema.__doc__ or "").split())
    rows = [
        f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {field.description or ''} |"
        for name, field in schema.model_fields.items()
    ]
    table = ["| key | value | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join([f"## {title}", "", summary, "", *table, ""])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return "its own defaults" if isinstance(value, BaseModel) else f"`{value}`"


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return _type(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (typing.Union, types.UnionType):
        parts = [_type(part) for part in get_args(annotation) if part is not type(None)]
        return " or ".join(dict.fromkeys(parts))
    if origin is list:
        return f"list of {_type(get_args(annotation)[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation, "path" if annotation.__name__ == "Path" else annotation.__name__)


if __name__ == "__main__":
    print(render(), end="")
