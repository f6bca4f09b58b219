"""Watching a run of this process: the platform's own lines, without Dagster's many events.

What belongs here: the way of the lines that assets `tell` to whoever started the run. What does not: Dagster's event
log, in which the same is found as events and metadata.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recruitment_platform.assets.steps import PROGRESS

Progress = Callable[[str], None]


@contextmanager
def watching(progress: Progress | None) -> Iterator[None]:
    """Calls `progress` with each line that the assets tell in this process."""
    if progress is None:
        yield
        return
    handler = _Passing(progress)
    level = PROGRESS.level
    PROGRESS.addHandler(handler)
    PROGRESS.setLevel(logging.INFO)
    try:
        yield
    finally:
        PROGRESS.setLevel(level)
        PROGRESS.removeHandler(handler)


class _Passing(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress(record.getMessage())
