"""In which order asks are sent: those whose prompts begin alike one after the other. Pure.

An engine keeps the KV cache of what it computed last, so a prompt finds the beginning that it
shares with the one before it. Sorting by the prompt's own text puts every prompt next to the one it
shares most with. Only a bounded stretch of the input is looked at, so that memory stays flat.
"""

from collections.abc import Iterable, Iterator

import msgspec

from orchestration.batch.asks import NOTHING, Ask

STRETCH_ASKS = 256
STRETCH_BYTES = 1024 * 1024


class _Prompt(msgspec.Struct):
    """What of a body becomes the prompt, in the order in which it does."""

    instructions: msgspec.Raw = NOTHING
    tools: msgspec.Raw = NOTHING
    messages: msgspec.Raw = NOTHING
    prompt: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING


_decoder = msgspec.json.Decoder(_Prompt)


def by_prefix(asks: Iterable[Ask]) -> Iterator[Ask]:
    """The asks, a stretch at a time, prompts with a common beginning side by side."""
    stretch: list[Ask] = []
    size = 0
    for ask in asks:
        stretch.append(ask)
        size += len(ask.body)
        if len(stretch) >= STRETCH_ASKS or size >= STRETCH_BYTES:
            yield from sorted(stretch, key=_beginning)
            stretch, size = [], 0
    yield from sorted(stretch, key=_beginning)


def _beginning(ask: Ask) -> bytes:
    try:
        prompt = _decoder.decode(ask.body)
    except msgspec.MsgspecError:
        return ask.body
    parts = (prompt.instructions, prompt.tools, prompt.messages, prompt.prompt, prompt.input)
    return b"".join(bytes(part) for part in parts)
