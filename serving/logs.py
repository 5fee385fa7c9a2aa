"""Structured logs: one JSON object a line on standard output, one line an event.

Context that belongs to everything done for a request (its id, its model) is bound once with
`structlog.contextvars.bind_contextvars` and appears on every line of that task.
"""

import logging
import sys

import structlog


def configure_logging(process: str, *, level: int = logging.INFO) -> None:
    """Send structlog's and the standard library's records out as JSON lines.

    `process` names the writer on every line. Start processes that import vLLM with
    `VLLM_CONFIGURE_LOGGING=0`, or it brings its own format.
    """

    def add_process(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        add_process,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
