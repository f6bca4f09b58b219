"""The stores that tests import into, and what can be seen in them. What belongs here: no assertions."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recruitment_platform.ingest.importer import ImportResult, import_file
from recruitment_platform.ingest.rejected import ReplayResult, replay
from recruitment_platform.resources.lake.parquet import ParquetLake, open_lake
from recruitment_platform.resources.protocols import SourceState
from recruitment_platform.resources.relational.store import SqlRelationalStore, open_relational
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.settings import Settings
from recruitment_platform_tests.resources.lake_batches import events_in


def no_progress(_: int) -> None:
    """For imports whose progress nobody watches."""


@dataclass
class Stores:
    """The embedded lake and relational store of one home."""

    home: Path
    settings: Settings = field(init=False)
    lake: ParquetLake = field(init=False)
    relational: SqlRelationalStore = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.home)
        self.lake = open_lake(self.settings.lake_path, door_rules(self.settings))
        self.relational = open_relational(self.settings.operational_path)

    def take(self, table: str, path: Path) -> ImportResult:
        return import_file(self.settings, self.lake, self.relational, table, path, no_progress)

    def replay(self, path: Path) -> ReplayResult:
        return replay(self.settings, self.lake, self.relational, path)

    def events(self) -> list[dict[str, Any]]:
        """Every accepted event, by source and position."""
        return sorted(self._events(), key=lambda row: (row["source"], row["position"]))

    def _events(self) -> Iterator[dict[str, Any]]:
        for day in self.lake.days():
            yield from events_in(self.lake.scan(day)).to_pylist()

    def state(self, source: str) -> SourceState:
        (state,) = (state for state in self.lake.sources() if state.source == source)
        return state

    def dump(self) -> dict[str, list[Any]]:
        """All that is stored: every table of both databases, and the lake's files."""
        kept: dict[str, list[Any]] = {"files": sorted(str(path) for path in self.lake.root.glob("tracking/*/*"))}
        for database in (self.lake.catalog, self.settings.operational_path):
            with closing(sqlite3.connect(database)) as connection:
                tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                for (table,) in tables:
                    # How often the database was locked for writing is no content.
                    if table != "write_lock":
                        kept[table] = sorted(connection.execute(f'SELECT * FROM "{table}"').fetchall(), key=repr)
        return kept
