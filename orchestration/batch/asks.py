"""What the engine of rows is given and what comes out of it: asks and outcomes. Data only."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

NOTHING = msgspec.Raw(b"null")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request to make."""

    key: int
    """Tells asks of one input apart, in every run: a line's number, or `key_of` what is asked."""
    custom_id: str
    path: str
    """Of the endpoint, such as `/v1/chat/completions`."""
    model: str
    body: bytes
    """A JSON object. What makes it a batch request is added when it is sent."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one answer, or of many."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    """Prompt tokens found in a prefix cache."""
    reasoning: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            prompt=self.prompt + other.prompt,
            completion=self.completion + other.completion,
            cached=self.cached + other.cached,
            reasoning=self.reasoning + other.reasoning,
        )


class RowError(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    code: str
    message: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of an ask: an answer of the gateway, or an error in its place."""

    key: int
    custom_id: str
    status: int | None = None
    """HTTP status answered; None: nothing was."""
    request_id: str = ""
    body: msgspec.Raw = NOTHING
    """The answer as it came, JSON without a line break."""
    error: RowError | None = None
    tokens: Tokens = Tokens()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the ask was answered as it wanted to be."""
        return self.status is not None and self.status < 300


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a batch, of one model: its asks, and what its journal is called."""

    name: str
    model: str
    keys: Sequence[int]
    """Of its asks, in input order."""
    read: Callable[[Iterable[int]], Iterator[Ask]]
    """The asks of these keys, in this order; read as they are taken."""


def key_of(*parts: bytes) -> int:
    """A key for an ask that is known by its content: as long as that stays, so does the key."""
    return int.from_bytes(hashlib.sha256(b"\0".join(parts)).digest()[:8]) >> 1
