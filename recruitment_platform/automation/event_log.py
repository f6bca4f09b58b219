"""Dagster's event log for as long as a run lasts: its connections stay open.

What belongs here: how a run's process reaches the SQLite files that Dagster keeps events in. What does not: what is
logged (the assets), the instance (`instance`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import dagster as dg
import sqlalchemy as sa


class _Connections:
    """One connection to each file of the event log, opened at its first use."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._first = storage._connect
        self._engines: dict[str, sa.Engine] = {}
        self.has_table = cache(storage.has_table)  # which is asked before each event: tables do not come within a run

    @contextmanager
    def connect(self, shard: str) -> Iterator[sa.Connection]:
        """As Dagster's own: a transaction on the file, one thread at a time."""
        if shard not in self._engines:
            with self._first(shard):  # which makes the file where it is absent
                pass
        with self._storage._db_lock:
            if shard not in self._engines:
                self._engines[shard] = _engine(self._storage.conn_string_for_shard(shard))
            with self._engines[shard].begin() as connection:
                yield connection

    def close(self) -> None:
        """Closes all."""
        for engine in self._engines.values():
            engine.dispose()


def _engine(address: str) -> sa.Engine:
    from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS

    return sa.create_engine(address, pool_size=1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})


@contextmanager
def connected(instance: dg.DagsterInstance) -> Iterator[None]:
    """Within it, an event costs the event log a statement or two.

    By itself Dagster's SQLite storage makes an engine and opens a file up to five times for each event: that took a
    quarter of a second of each day of a range, a third of all. Any other storage is left as it is.
    """
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage: Any = instance.event_log_storage
    if type(storage) is not SqliteEventLogStorage or "_connect" in vars(storage):
        yield
        return
    connections = _Connections(storage)
    vars(storage).update(_connect=connections.connect, has_table=connections.has_table)
    try:
        yield
    finally:
        del storage._connect, storage.has_table
        connections.close()
