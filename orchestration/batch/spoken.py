"""What an answer says, of any endpoint, for people to read. Pure."""

import msgspec


class _Text(msgspec.Struct, frozen=True):
    text: str = ""


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message | None = None
    text: str | None = None


class _Item(msgspec.Struct, frozen=True):
    content: tuple[_Text, ...] | None = None


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Body(msgspec.Struct, frozen=True):
    """The parts of chat completions, completions, responses and errors that hold text."""

    choices: tuple[_Choice, ...] = ()
    output: tuple[_Item, ...] = ()
    error: _Error | None = None


class _Response(msgspec.Struct, frozen=True):
    body: _Body | None = None


_response = msgspec.json.Decoder(_Response)
_error = msgspec.json.Decoder(_Error)


def spoken(response: msgspec.Raw, error: msgspec.Raw) -> str:
    """The text of a record of a batch's file; what else it has if there is no text in it."""
    raw = response if bytes(response) != b"null" else error
    try:
        body = _response.decode(response).body if raw is response else None
        text = _error.decode(error).message if body is None else _text(body)
    except msgspec.DecodeError:
        text = ""
    return text or bytes(raw).decode()


def _text(body: _Body) -> str:
    if body.error is not None:
        return body.error.message
    said = [choice.text or "" for choice in body.choices if choice.message is None]
    said += [choice.message.content or "" for choice in body.choices if choice.message is not None]
    said += [part.text for item in body.output for part in item.content or ()]
    return " ".join(filter(None, said))
