"""Processes of their own that refresh dim_jobs, for tests of refreshes at once and of killed ones.

What belongs here: starting them, and what they do. What does not: what must come of it. They are forked from a server
that has imported this module once (or what another test's processes need; the last one to say so decides).
"""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from recruitment_platform.errors import PlatformError
from recruitment_platform.resources.protocols import DimRefresh
from recruitment_platform_tests.resources.relational_stores import ALIASES, OPENERS

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])
_SECONDS = 60


def refresh_at_once(store_name: str, folder: Path, as_ofs: Sequence[datetime]) -> list[DimRefresh | PlatformError]:
    """Refreshes in as many processes, all starting at once when each has opened its store; what came of each."""
    barrier = _CONTEXT.Barrier(len(as_ofs))
    results = _CONTEXT.SimpleQueue()
    processes = [
        _CONTEXT.Process(target=_refresh, args=(dict(os.environ), store_name, folder, as_of, 0, barrier, results))
        for as_of in as_ofs
    ]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join(_SECONDS)
        assert process.exitcode == 0
    results.close()
    return found


def refresh_and_die(store_name: str, folder: Path, as_of: datetime, statements: int) -> DimRefresh | None:
    """Refreshes in a process that SIGKILLs itself after that many statements; what came of it where they are fewer."""
    results = _CONTEXT.SimpleQueue()
    arguments = (dict(os.environ), store_name, folder, as_of, statements, None, results)
    process = _CONTEXT.Process(target=_refresh, args=arguments)
    process.start()
    process.join(_SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL)
    done = None if process.exitcode else results.get()
    results.close()
    return done


def _refresh(
    environment: dict[str, str],
    store_name: str,
    folder: Path,
    as_of: datetime,
    kill_after: int,
    barrier: Any,
    results: Any,
) -> None:
    os.environ.update(environment)
    store = OPENERS[store_name](folder)
    numbers = count(1)

    @sa.event.listens_for(store.engine, "after_cursor_execute")
    def kill(*_: object) -> None:
        if next(numbers) == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    if barrier is not None:
        barrier.wait(_SECONDS)
    try:
        results.put(store.refresh_dim_jobs(as_of, "USD", ALIASES))
    except PlatformError as error:
        results.put(error)
