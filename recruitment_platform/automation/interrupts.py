"""Ctrl-C that Dagster forgets: what comes outside a step it keeps for the next one, and drops where none follows.

What belongs here: knowing that it came. What does not: what is then left undone (`run`, `backfill`).
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

INTERRUPTS = frozenset({signal.SIGINT, signal.SIGTERM})
"""The signals that Dagster handles alike while it runs."""


@contextmanager
def interrupts_seen() -> Iterator[Callable[[], bool]]:
    """What it gives tells whether one came since, whoever handled it; elsewhere than in the main thread none is seen.

    It must be asked within the context.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    seen = False

    def came() -> bool:
        nonlocal seen
        with suppress(BlockingIOError):
            seen = seen or not INTERRUPTS.isdisjoint(os.read(reading, 4096))
        return seen

    former = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield came
    finally:
        signal.set_wakeup_fd(former)
        os.close(reading)
        os.close(writing)
