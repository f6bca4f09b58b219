"""What a run tells while it goes on: the platform's own lines, without Dagster's many events.

What belongs here: the way from `context.log` to whoever watches a run of this process. What does not: Dagster's event
log, which has every line and event anyway. https://docs.dagster.io/guides/log-debug/logging/custom-logging
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

Progress = Callable[[str], None]

PROGRESS = "progress"
"""Name of the logger in a run's configuration."""

_LOGGER = logging.getLogger("recruitment_platform.progress")


def _own_lines(context: dg.InitLoggerContext) -> logging.Logger:
    return _LOGGER


LOGGERS = {"console": dg.colored_console_logger, PROGRESS: dg.logger(_own_lines, "Lines for those who are `watching`.")}
"""Runs of the web page and the daemon use the console, whose output Dagster captures."""


@contextmanager
def watching(progress: Progress | None) -> Iterator[None]:
    """Calls `progress` with each line of INFO and above that the assets log in this process."""
    handler = _Passing(progress or (lambda line: None))
    level, propagate = _LOGGER.level, _LOGGER.propagate
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level)
        _LOGGER.propagate = propagate


class _Passing(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        # Dagster adds the job, run and step to a line, and keeps what was logged beside it.
        told = getattr(record, "dagster_meta", None)
        if told is not None and told["dagster_event"] is None:
            self._progress(told["orig_message"])
