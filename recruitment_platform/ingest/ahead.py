"""Steps of one import or simulation at the same time: while an item is used, a thread makes the next one.

What belongs here: the thread. What does not: what is made, or used.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")


@contextmanager
def made_ahead(items: Iterator[_Item]) -> Iterator[Iterator[_Item]]:
    """The items in their order, each made by a thread while the one before it is used, and no further ahead.

    An error in making one is raised when its turn comes. Leaving waits for the one that is being made.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield _in_turn(items, thread)


def _in_turn(items: Iterator[_Item], thread: ThreadPoolExecutor) -> Iterator[_Item]:
    def make() -> list[_Item]:
        return list(islice(items, 1))

    coming = thread.submit(make)
    while made := coming.result():
        coming = thread.submit(make)
        # Nothing here may hold an item for longer than its user does.
        yield made.pop()
