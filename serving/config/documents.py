"""Reading the YAML files that people write: the base of their schemas, and errors that help.

What stands in such a file is its schema's business; nothing is known of it here.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from serving.errors import ConfigError


class Section(BaseModel):
    """A part of a file: unknown keys are refused, and it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Document = TypeVar("Document", bound=Section)


def read_document(path: Path, schema: type[Document], *, absent: str, reference: str) -> Document:
    """Read and validate a file.

    Raises ConfigError, which names the file, every wrong key, what is wrong and the fix: `absent`
    if there is no such file, else a look at `reference`, the page that lists the keys.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError("there is no such file", where=str(path), fix=absent) from error
    except OSError as error:
        raise ConfigError(
            f"it cannot be read: {error.strerror}", where=str(path), fix="Name a file, or mend it."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: no text, or a value that looks like a date and is none, such as 2026-02-30.
        raise ConfigError(f"not YAML: {error}", where=str(path), fix="Mend the syntax.") from error
    try:
        return schema.model_validate({} if raw is None else raw)  # an empty file
    except ValidationError as error:
        raise ConfigError(
            problems(error, schema),
            where=str(path),
            fix=f"{reference} lists every key and what it takes.",
        ) from error


def problems(error: ValidationError, schema: type[BaseModel]) -> str:
    """Every wrong key, and what is wrong with it."""
    found = []
    for detail in error.errors():
        key = ".".join(str(part) for part in detail["loc"]) or "(the whole file)"
        if detail["type"] == "extra_forbidden":
            found.append(f"{key}: there is no such key{_meant(str(detail['loc'][-1]), schema)}")
            continue
        given = "" if isinstance(detail["input"], dict | list) else f" (is {detail['input']!r})"
        found.append(f"{key}: {detail['msg'].removeprefix('Value error, ')}{given}")
    return "; ".join(found)


def _meant(key: str, schema: type[BaseModel]) -> str:
    """The known key that is most like `key`, as a question."""
    like = get_close_matches(key, sorted(set(_keys(schema.model_json_schema()))), n=1)
    return f", did you mean {like[0]}?" if like else ""


def _keys(schema: dict[str, Any]) -> Iterator[str]:
    """The keys of every section of a JSON schema."""
    for section in (schema, *schema.get("$defs", {}).values()):
        yield from section.get("properties", ())
