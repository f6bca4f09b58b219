"""A home in a folder: real embedded stores, simulated into, and the pipeline's facts read out of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.model.door import DoorRules
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.pipeline.dimensions import refresh_dimensions
from recruitment_platform.pipeline.facts import compute_facts
from recruitment_platform.pipeline.manifests import FactsManifest, SnapshotManifest
from recruitment_platform.pipeline.snapshot import take_snapshots
from recruitment_platform.resources.lake.parquet import ParquetLake, open_lake
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.resources.relational.store import SqlRelationalStore, open_relational
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.destinations import LakeDestination
from recruitment_platform.simulation.record import Simulation
from recruitment_platform.simulation.simulate import SimulatedDay, planned, run_simulation
from recruitment_platform.transforms.engines import DuckDBEngine

OPENING = date(2024, 3, 4)


@dataclass(frozen=True)
class Home:
    """A home with the stores of these settings."""

    settings: Settings
    reported: list[SimulatedDay] = field(default_factory=list)

    @property
    def lake(self) -> ParquetLake:
        settings = self.settings
        rules = DoorRules(settings.time_zone, settings.first_day, settings.max_event_age, settings.max_event_ahead)
        return open_lake(settings.lake_path, rules)

    @property
    def relational(self) -> SqlRelationalStore:
        return open_relational(self.settings.operational_path)

    @property
    def destination(self) -> LakeDestination:
        return LakeDestination(self.truth, self.lake, self.settings.first_day)

    @property
    def truth(self) -> Path:
        return self.settings.truth_path

    def simulate(
        self, *faults: str, first: date = OPENING, days: int = 2, events_per_day: int = 2_000, seed: int = 11
    ) -> Simulation:
        last = first + timedelta(days=days - 1)
        simulation = planned(
            self.settings, first, last, seed=seed, events_per_day=events_per_day, faults=frozenset(faults)
        )
        run_simulation(self.settings, self.destination, self.relational, simulation, first, last, self.reported.append)
        return simulation

    def snapshots(self) -> dict[date, SnapshotManifest]:
        """The snapshot of every day in the lake."""
        store = FolderStore(self.settings.object_store_path)
        taken = take_snapshots(
            self.lake, store, self.lake.days(), time_zone=self.settings.time_zone, run_id="snapshots"
        )
        snapshots = {}
        for day, snapshot in taken:
            assert isinstance(snapshot, SnapshotManifest), snapshot
            snapshots[day] = snapshot
        return snapshots

    def facts(self) -> tuple[list[date], pa.Table]:
        """(days of the lake, what the pipeline makes of them), on DuckDB."""
        store = FolderStore(self.settings.object_store_path)
        refresh_dimensions(
            self.relational,
            store,
            as_of=datetime.now(UTC),
            currency=self.settings.currency,
            aliases=self.settings.currency_aliases,
            run_id="dims",
        )
        days = list(self.snapshots())
        tables = [arrow_schema(HOURLY_FACTS).empty_table()]
        for _, candidate in compute_facts(store, DuckDBEngine(), days, lake_name=self.lake.name, run_id="facts"):
            assert isinstance(candidate, FactsManifest), candidate
            tables += [_read(store.local(entry.key)) for entry in candidate.files]
        return days, pa.concat_tables(tables)


def make_home(folder: Path, **settings: object) -> Home:
    return Home(Settings.model_validate({"home": folder, **settings}))


def _read(path: Path) -> pa.Table:
    return pq.read_table(path, partitioning=None).cast(arrow_schema(HOURLY_FACTS))


def days_from(first: date, count: int) -> Sequence[date]:
    return [first + timedelta(days=number) for number in range(count)]
