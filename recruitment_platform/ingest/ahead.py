"""Steps of one import or simulation at the same time: while an item is used, threads or processes make the next ones.

What belongs here: the threads and processes. What does not: what is made, or used.
"""

import atexit
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from recruitment_platform.errors import StoreUnavailableError

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


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
    """What is made of each item, in their order, by so many threads, which are that many items ahead of use at most.

    Items are taken by the thread that uses what is made. An error in making is raised when its turn comes. Leaving
    waits for what is being made, and tells `unused` of what was made but not used.
    """
    with _made_by(ThreadPoolExecutor(max_workers=threads), make, items, threads, unused) as made:
        yield made


@contextmanager
def made_by_processes(
    make: Callable[[_Item], _Made],
    items: Iterator[_Item],
    processes: int,
    unused: Callable[[_Made], None] = _forget,
) -> Iterator[Iterator[_Made]]:
    """As `made_by_threads`, by so many processes, which are twice as many items ahead of use at most.

    Each is a Python of its own, which ends with this one, however that ends: `make`, items and what is made are
    pickled. StoreUnavailableError where a process was killed.
    """
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin_process, initargs=(make,))
    try:
        with _made_by(pool, _make_in_process, items, 2 * processes, unused) as made:
            yield made
    except BrokenProcessPool as error:
        raise StoreUnavailableError(
            "a process that made a part of it was killed, maybe for want of memory; what was done stays: run it again"
        ) from error


@contextmanager
def _made_by(
    pool: Executor,
    make: Callable[[_Item], _Made],
    items: Iterator[_Item],
    ahead: int,
    unused: Callable[[_Made], None],
) -> Iterator[Iterator[_Made]]:
    coming: deque[Future[_Made]] = deque()
    try:
        yield _made_in_turn(make, items, ahead, pool, coming)
    finally:
        pool.shutdown(cancel_futures=True)
        for made in coming:
            if not made.cancelled() and made.exception() is None:
                unused(made.result())


def _made_in_turn(
    make: Callable[[_Item], _Made],
    items: Iterator[_Item],
    ahead: int,
    pool: Executor,
    coming: "deque[Future[_Made]]",
) -> Iterator[_Made]:
    coming.extend(pool.submit(make, item) for item in islice(items, ahead))
    while coming:
        made = [coming.popleft().result()]
        coming.extend(pool.submit(make, item) for item in islice(items, 1))
        yield made.pop()


_process_makes: Callable[[Any], Any]
"""What a process makes of items."""


def _begin_process(make: Callable[[Any], Any]) -> None:
    global _process_makes
    _process_makes = make
    # Ctrl-C reaches all processes of a terminal: the one that uses what is made decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # At once, without taking Python apart: libraries write to stderr of what their threads still hold.
    atexit.register(os._exit, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make_in_process(item: Any) -> Any:
    return _process_makes(item)
