"""Templates: a row's columns become chat messages. Jinja, in its sandbox."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestration.datasets.declaration import Template, TemplateMessage

PARTITION = "partition"
"""What a template may name beside columns."""

Message = dict[str, Any]
Render = Callable[[Mapping[str, Any]], list[Message]]


def check_template(template: Template) -> None:
    """Raise ValueError unless every template can be understood."""
    _columns(template)


def columns_named(template: Template) -> frozenset[str]:
    """The columns that templates name."""
    return _columns(template) - {PARTITION}


def renderer(template: Template) -> Render:
    """What makes a row's chat. It raises ValueError if the row has not what is needed."""
    environment = _environment()
    compiled = [
        (message.role, environment.from_string(message.content)) for message in _messages(template)
    ]

    def render(row: Mapping[str, Any]) -> list[Message]:
        whole = row.get(template.messages_column) if template.messages_column else None
        if whole is not None:
            return _chat(whole)
        there = {name: value for name, value in row.items() if value is not None}
        try:
            return [{"role": role, "content": one.render(there)} for role, one in compiled]
        except UndefinedError as error:
            raise ValueError(f"a column of the template has no value: {error}") from error
        except (TemplateError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
            raise ValueError(f"the template fails at this row: {error}") from error

    if compiled:
        return render
    return lambda row: _chat(row.get(template.messages_column or ""))


def _messages(template: Template) -> list[TemplateMessage]:
    if template.messages:
        return template.messages
    spoken = [("system", template.system), ("user", template.prompt)]
    return [
        TemplateMessage.model_validate({"role": role, "content": content})
        for role, content in spoken
        if content is not None
    ]


def _columns(template: Template) -> frozenset[str]:
    environment = _environment()
    named: set[str] = set()
    for message in _messages(template):
        try:
            named |= meta.find_undeclared_variables(environment.parse(message.content))
        except TemplateSyntaxError as error:
            raise ValueError(
                f"template: {message.content!r} is not a template: {error.message}"
            ) from error
        except RecursionError as error:
            raise ValueError("template: it is nested too deeply") from error
    return frozenset(named)


def _environment() -> ImmutableSandboxedEnvironment:
    # What is rendered is text for a model, not a page: nothing is to be escaped.
    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


def _chat(whole: Any) -> list[Message]:
    """A column of whole chats: a list, or JSON of one."""
    if whole is None:
        raise ValueError("the row has no messages")
    try:
        if isinstance(whole, str | bytes):
            return msgspec.json.decode(whole, type=list[Message])
        return msgspec.convert(whole, list[Message])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"messages is not a JSON list of messages: {error}") from error
