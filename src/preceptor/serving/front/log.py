"""The log: a line of JSON on stderr for each request, and for what uvicorn and the server have to say."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from preceptor.serving.front.record import Record

LOGGER = "preceptor.serve"
PROBES = ("/health", "/ready", "/metrics", "page")  # asked for all the time: they are worth a line when they fail


class JsonFormatter(logging.Formatter):
    """A record as one line; ``extra={"fields": {...}}`` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_config(*, quiet: bool = False) -> dict[str, Any]:
    """For ``logging.config.dictConfig``, as uvicorn takes it. ``quiet`` leaves requests out unless they failed here."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {
            "uvicorn": {"handlers": ["stderr"], "level": "WARNING"},
            LOGGER: {"handlers": ["stderr"], "level": "WARNING" if quiet else "INFO"},
        },
    }


def log_request(record: Record) -> None:
    """The line of a request that has ended."""
    failed = record.status >= 500 and record.refused != "draining"
    probe = record.route in PROBES and record.status < 400
    level = logging.WARNING if failed else logging.DEBUG if probe else logging.INFO
    fields: dict[str, Any] = {
        "id": record.id,
        "key": record.key,
        "method": record.method,
        "route": record.route,
        "model": record.model,
        "status": record.status,
        "ended": record.ended,
        "refused": record.refused,
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.completion_tokens,
        "first_token_seconds": None if record.first_token is None else round(record.first_token, 4),
        "seconds": round(record.age, 4),
    }
    logging.getLogger(LOGGER).log(
        level, "request", extra={"fields": {name: value for name, value in fields.items() if value is not None}}
    )
