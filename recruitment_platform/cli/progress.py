"""What is told on stderr while a command works: a moving bar on a terminal, a line now and then elsewhere.

What belongs here: progress and notes for people. What does not: data, which goes to stdout.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

EVERY_SECONDS = 5.0
"""How often a line is written where stderr is no terminal."""


def note(text: str) -> None:
    """One line for people."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def progress(what: str, unit: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Shows how far it is; the value is to be called with how many more `unit` are done."""
    console = Console(stderr=True)
    if console.is_terminal:
        count = MofNCompleteColumn() if total is not None else TextColumn("{task.completed:,}")
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), count, TextColumn(unit))
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda more: bar.advance(task, more)
        return
    done = 0
    told = time.monotonic()

    def advance(more: int) -> None:
        nonlocal done, told
        done += more
        if time.monotonic() - told >= EVERY_SECONDS:
            told = time.monotonic()
            note(f"{what}: {done:,}{'' if total is None else f' of {total:,}'} {unit}")

    yield advance
