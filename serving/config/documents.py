"""Reading the YAML files that people write: the base of their schemas, and errors that help.

What stands in such a file is its schema's business; nothing is known of it here.
"""

from pathlib import Path
from typing import TypeVar

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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"not YAML: {error}", where=str(path), fix="Mend the syntax.") from error
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(
            problems(error),
            where=str(path),
            fix=f"{reference} lists every key and what it takes.",
        ) from error


def problems(error: ValidationError) -> str:
    """Every wrong key, and what is wrong with it."""
    found = []
    for detail in error.errors():
        key = ".".join(str(part) for part in detail["loc"]) or "(the whole file)"
        given = "" if isinstance(detail["input"], dict | list) else f" (is {detail['input']!r})"
        found.append(f"{key}: {detail['msg']}{given}")
    return "; ".join(found)
