"""Validating a batch's input: one pass that finds every bad line, and indexes the lines.

What a body must be is asked of a function, since only the gateway knows the endpoints. Nothing here
keeps more than one line in memory, besides the custom ids and where the lines are.
"""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import msgspec

from serving.batches.lines import IndexWriter
from serving.batches.nesting import MAX_LEVELS, is_deeper
from serving.batches.records import BatchError, InputSize

RESPONSES = "/v1/responses"
"""The endpoint that has a name of its own for the bound of an answer."""
MAX_LINES = 50_000
MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_CUSTOM_ID_CHARACTERS = 512
MESSAGE_CHARACTERS = 400
"""Of an error about a line; its values may be as long as the line."""
_SKIP_BYTES = 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Some editors begin a file with it; it is none of the first line's."""

BodyCheck = Callable[[bytes], BatchError | None]
"""Why the endpoint would refuse this body; None: it would not."""


class Rules(msgspec.Struct, frozen=True):
    """What a line must be."""

    endpoint: str
    models: frozenset[str]
    check_body: BodyCheck


class Report(msgspec.Struct, frozen=True):
    """What validation found. Without errors there is a size."""

    errors: tuple[BatchError, ...]
    size: InputSize | None


_ABSENT = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: Any = None
    method: Any = None
    url: Any = None
    body: msgspec.Raw = _ABSENT


class _Body(msgspec.Struct):
    """What is read of a body here."""

    model: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None

    def bound_tokens(self, endpoint: str) -> int | None:
        """The bound of the output, if there is one; the names of others mean nothing."""
        bounds = (self.max_completion_tokens, self.max_tokens)
        for bound in (self.max_output_tokens,) if endpoint == RESPONSES else bounds:
            if isinstance(bound, int):
                return bound
        return None


_line = msgspec.json.Decoder(_Line).decode
_body = msgspec.json.Decoder(_Body).decode


def validate(
    content: BinaryIO, rules: Rules, index: IndexWriter, give_way: Callable[[], None]
) -> Report:
    """Read `content` to its end, and write down in `index` where its lines are.

    `give_way` is called after every line: validating is long work, and others want the processor.
    """
    lines = _Lines(rules)
    for number, offset, raw in _split(content):
        if raw is None:
            lines.too_long(number)
        elif raw.strip():
            index.add(offset, len(raw))
            lines.check(number, raw)
        if lines.count > MAX_LINES:
            return Report((_too_many(),), None)
        give_way()
    return lines.report()


class _Lines:
    """What is known of the lines read so far."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._errors: list[BatchError] = []
        self._seen: dict[str, int] = {}
        self._model: str | None = None
        self.count = self._bytes = self._max_tokens = self._unbounded = 0

    def too_long(self, number: int) -> None:
        """A line that is not even read."""
        self.count += 1
        self._refuse(number, "line_too_long", f"the line is longer than {MAX_LINE_BYTES} bytes")

    def check(self, number: int, raw: bytes) -> None:
        """Take one line."""
        self.count += 1
        if is_deeper(raw):
            message = f"the line's JSON is nested in more than {MAX_LEVELS} levels"
            self._refuse(number, "too_deep", message)
            return
        try:
            line = _line(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._refuse(number, "invalid_json_line", f"the line is not a JSON object: {error}")
            return
        self._check_custom_id(number, line.custom_id)
        if line.method != "POST":
            self._refuse(number, "invalid_method", "the method must be POST", "method")
        if line.url != self._rules.endpoint:
            message = f"the url must be the batch's endpoint, {self._rules.endpoint}"
            self._refuse(number, "invalid_url", message, "url")
        self._check_body(number, bytes(line.body))

    def report(self) -> Report:
        """What was found, once there are no more lines."""
        if not self.count:
            return Report((BatchError(code="empty_file", message="the input has no lines"),), None)
        if self._errors or self._model is None:
            return Report(tuple(self._errors), None)
        size = InputSize(
            model=self._model,
            lines=self.count,
            body_bytes=self._bytes,
            max_output_tokens=self._max_tokens,
            unbounded_lines=self._unbounded,
        )
        return Report((), size)

    def _check_custom_id(self, number: int, custom_id: object) -> None:
        if not isinstance(custom_id, str) or not custom_id:
            message = "every line needs a custom_id, a text that is not empty"
            self._refuse(number, "missing_custom_id", message, "custom_id")
            return
        if len(custom_id) > MAX_CUSTOM_ID_CHARACTERS:
            message = f"the custom_id is longer than {MAX_CUSTOM_ID_CHARACTERS} characters"
            self._refuse(number, "invalid_custom_id", message, "custom_id")
        elif (first := self._seen.setdefault(custom_id, number)) != number:
            message = f"the custom_id {custom_id!r} stands on line {first} already"
            self._refuse(number, "duplicate_custom_id", message, "custom_id")

    def _check_body(self, number: int, raw: bytes) -> None:
        try:
            body = _body(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._refuse(number, "invalid_body", f"the body is not a JSON object: {error}", "body")
            return
        self._check_model(number, body.model)
        problem = self._rules.check_body(raw)
        if problem is not None:
            self._refuse(number, problem.code, problem.message, problem.param)
        bound = body.bound_tokens(self._rules.endpoint)
        self._bytes += len(raw)
        self._max_tokens += bound or 0
        self._unbounded += bound is None

    def _check_model(self, number: int, model: object) -> None:
        if not isinstance(model, str) or not model:
            self._refuse(number, "missing_model", "the body names no model", "body.model")
        elif model not in self._rules.models:
            message = f"the model {model!r} does not exist"
            self._refuse(number, "model_not_found", message, "body.model")
        elif self._model is None:
            self._model = model
        elif model != self._model:
            message = f"a batch is of one model: this line asks {model!r}, others {self._model!r}"
            self._refuse(number, "mismatched_model", message, "body.model")

    def _refuse(self, number: int, code: str, message: str, param: str | None = None) -> None:
        short = message[:MESSAGE_CHARACTERS]
        self._errors.append(BatchError(code=code, message=short, line=number, param=param))


def _split(content: BinaryIO) -> Iterator[tuple[int, int, bytes | None]]:
    """Line numbers from 1, offsets, and lines; None for one that is too long."""
    number, offset = 0, _after_mark(content)
    while raw := content.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            yield number, offset, None
            while raw and not raw.endswith(b"\n"):
                raw = content.readline(_SKIP_BYTES)
        else:
            yield number, offset, raw
        offset = content.tell()


def _after_mark(content: BinaryIO) -> int:
    """Where the first line begins; `content` stands there afterwards."""
    marked = content.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK
    return content.seek(len(_BYTE_ORDER_MARK) if marked else 0)


def _too_many() -> BatchError:
    message = f"the input has more than {MAX_LINES} lines; make several batches of it"
    return BatchError(code="too_many_lines", message=message)
