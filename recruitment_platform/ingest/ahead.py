"""Steps of one import or simulation at the same time: while an item is used, threads make the next ones.

What belongs here: the threads. What does not: what is made, or used.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")

_PATIENCE = 0.0005
"""Seconds that a thread waits at most for another to let Python go: its steps are shorter than Python's own 0.005."""


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


def _forget(_: object) -> None:
    """What was made and not used is left to the garbage collector."""


@contextmanager
def made_by_threads(
    make: Callable[[_Item], _Made],
    items: Iterator[_Item],
    threads: int,
    unused: Callable[[_Made], None] = _forget,
) -> Iterator[Iterator[_Made]]:
    """What is made of each item, in their order, by so many threads, which are an item more ahead of use at most.

    So none of them has nothing to do while another takes longer for what comes first. Items are taken by the thread
    that uses what is made. An error in making is raised when its turn comes. Leaving waits for what is being made, and
    tells `unused` of what was made but not used.
    """
    pool = ThreadPoolExecutor(max_workers=threads)
    coming: deque[Future[_Made]] = deque()
    patience = sys.getswitchinterval()
    sys.setswitchinterval(min(patience, _PATIENCE))
    try:
        coming.extend(pool.submit(make, item) for item in islice(items, threads + 1))
        yield _made_in_turn(make, items, pool, coming)
    finally:
        pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(patience)
        for made in coming:
            if not made.cancelled() and made.exception() is None:
                unused(made.result())


def _made_in_turn(
    make: Callable[[_Item], _Made],
    items: Iterator[_Item],
    pool: ThreadPoolExecutor,
    coming: "deque[Future[_Made]]",
) -> Iterator[_Made]:
    while coming:
        made = [coming.popleft().result()]
        coming.extend(pool.submit(make, item) for item in islice(items, 1))
        yield made.pop()
