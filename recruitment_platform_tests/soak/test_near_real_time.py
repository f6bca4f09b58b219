"""A thousand events a second, for minutes, with the sensors on: all are in the facts, and how soon.

The day before today is sent at that pace: today's own traffic cannot be simulated before it is over. What the sensors
do is the same for both days.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import dagster as dg
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from recruitment_platform.automation.instance import open_instance
from recruitment_platform.automation.sensors import FRESHNESS, LATE_DATA
from recruitment_platform.cli.truth import MATCHED, rejected_truth, truth_by_day
from recruitment_platform.resources.stores import Stores, open_stores
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.destinations import LakeDestination
from recruitment_platform.simulation.events import Block
from recruitment_platform.simulation.record import ALL_FAULTS, Simulation
from recruitment_platform.simulation.simulate import SimulatedDay, planned, run_simulation
from recruitment_platform.simulation.times import WEEKDAY_FACTORS
from recruitment_platform_tests.automation.daemon import environment_of
from recruitment_platform_tests.automation.ticks import TIME_ZONE, ago
from recruitment_platform_tests.cli.command_line import free_port, ui
from recruitment_platform_tests.resources.lake_batches import events_in
from recruitment_platform_tests.soak.behind import behind

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

PER_SECOND = 1_000
SECONDS = 300
LOOK_EVERY = timedelta(seconds=5)

EVES = 2
"""Days before it, sent at once and published before the clock starts: events that come late are theirs."""

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slice:
    """Rows that were appended together: the last one's position, and when that began (seconds since 1970)."""

    last_position: int
    at: float


@dataclass(frozen=True)
class Held:
    """The lake as a destination that holds back what it is to take."""

    lake: LakeDestination
    blocks: list[tuple[Block, int, pa.Table]] = field(default_factory=list)

    def check_own(self, simulation: Simulation) -> None:
        self.lake.check_own(simulation)

    def has(self, block: Block, before: int, rows: int) -> bool:
        return self.lake.has(block, before, rows)

    def ready(self, block: Block, before: int, raw: pa.Table) -> pa.Table:
        return raw

    def take(self, block: Block, before: int, ready: pa.Table) -> None:
        self.blocks.append((block, before, ready))

    def drop(self, ready: pa.Table) -> None:
        """There is nothing to let go of."""

    def send(self, per_second: int) -> list[Slice]:
        """Lets the lake have it, so many rows each second, in the order of their arrival."""
        sent = []
        began = time.time()
        for block, before, raw in self.blocks:
            for start in range(0, len(raw), per_second):
                time.sleep(max(0.0, began + (before + start) / per_second - time.time()))
                at, end = time.time(), min(start + per_second, len(raw))
                part = self.lake.ready(block, before + start, raw.slice(start, end - start))
                self.lake.take(block, before + start, part)
                sent.append(Slice(before + end, at))
        return sent


def test_a_thousand_events_a_second_are_all_in_the_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    looking = {"late_data_interval": LOOK_EVERY, "freshness_interval": LOOK_EVERY}
    settings = Settings(home=tmp_path / "home", engine="duckdb", time_zone=TIME_ZONE, **looking)
    stores = open_stores(settings)
    lake = LakeDestination(settings.truth_path, stores.lake, settings.first_day)
    first, day = ago(1 + EVES), ago(1)
    simulation = planned(
        settings,
        first,
        day,
        seed=7,
        events_per_day=round(PER_SECOND * SECONDS / WEEKDAY_FACTORS[day.weekday()]),
        faults=ALL_FAULTS,
    )
    told: list[SimulatedDay] = []
    run_simulation(settings, lake, stores.relational, simulation, first, ago(2), told.append)
    held = Held(lake)
    run_simulation(settings, held, stores.relational, simulation, day, day, told.append)

    log = tmp_path / "ui.log"
    with ui(settings.home, free_port(), log, **environment_of(settings)):
        wait_until_all_is_in_the_facts(stores, log)
        began = time.time()
        sent = held.send(PER_SECOND)
        seconds = time.time() - began
        wait_until_all_is_in_the_facts(stores, log)

    received = sum(simulated.received for simulated in told)
    sources = stores.lake.sources()
    assert sum(source.received for source in sources) == received
    assert all(source.received == source.accepted + source.rejected for source in sources), sources
    assert truth_by_day(settings, stores.lake, stores.objects, stores.warehouse, stores.lake.days()) == dict.fromkeys(
        stores.lake.days(), MATCHED
    )
    assert rejected_truth(settings, stores.lake) == ""
    assert_loaded_for_new_events_only(stores)
    runs = runs_of_the_sensors(settings)

    latency = latencies(stores, simulation.source(day), sent)
    rate = told[-1].received / seconds
    assert rate > 0.95 * PER_SECOND, f"the lake took {rate:,.0f} events a second only"
    assert len(latency) == told[-1].accepted
    median, most, longest = np.quantile(latency, [0.5, 0.95, 1])
    with capsys.disabled():
        print(
            f"\n{told[-1].received:,} events of {len(stores.lake.days())} days in {seconds:,.0f} s,"
            f" {rate:,.0f} a second; {len(runs)} runs of {runs_took(runs):.1f} s at the median;"
            f" from event to fact {median:.1f} s at the median, {most:.1f} s at the 95th percentile,"
            f" {longest:.1f} s at most"
        )


def wait_until_all_is_in_the_facts(stores: Stores, log: Path) -> None:
    deadline = time.monotonic() + 300
    while found := behind(stores):
        assert time.monotonic() < deadline, f"{found}\n{log.read_text()}"
        time.sleep(1)


def assert_loaded_for_new_events_only(stores: Stores) -> None:
    """No load of any day is of the same events as the one before it, and no day was loaded that had none."""
    ledger = stores.warehouse.ledger()
    assert ledger.keys() == set(stores.lake.days())
    for day in ledger:
        marks = [load.watermark for load in stores.warehouse.loads(day)]
        assert all(later != former for former, later in pairwise(marks)), f"{day}: {marks}"


def runs_of_the_sensors(settings: Settings) -> list[dg.RunRecord]:
    """The runs of the daily job; all were asked for by the two sensors, and none failed."""
    with open_instance(settings) as instance:
        records = instance.get_run_records()
    daily = [record for record in records if record.dagster_run.job_name == "daily_facts"]
    assert {record.dagster_run.tags.get("dagster/sensor_name") for record in daily} <= {FRESHNESS, LATE_DATA}
    assert [record.dagster_run for record in records if not record.dagster_run.is_success] == []
    return daily


def runs_took(runs: Sequence[dg.RunRecord]) -> float:
    """Seconds from the request to the end, the median."""
    return float(np.median([run.end_time - run.create_timestamp.timestamp() for run in runs if run.end_time]))


def latencies(stores: Stores, source: str, sent: Sequence[Slice]) -> Seconds:
    """Of each of the source's events, seconds from when it was about to be appended until it was in the facts.

    By its position: it is in the slice that ends at that or after it, and in the first load whose watermark does.
    """
    ends = [batch.last_position for batch in sent]
    began = np.array([batch.at for batch in sent])
    found = []
    for day in stores.lake.days():
        positions = of_source(stores, day, source)
        loads = [load for load in stores.warehouse.loads(day) if source in load.watermark]
        reached = [load.watermark[source] for load in loads]
        committed = np.array([load.loaded_at.timestamp() for load in loads])
        at = np.searchsorted(reached, positions)
        assert (at < len(loads)).all(), f"{day}: events beyond {reached[-1:]} are in no load"
        found.append(committed[at] - began[np.searchsorted(ends, positions)])
    return np.concatenate(found)


def of_source(stores: Stores, day: date, source: str) -> npt.NDArray[np.int64]:
    """Positions of the source's events of that day."""
    table = events_in(stores.lake.scan(day))
    return table.filter(pa.compute.equal(table["source"], source))["position"].to_numpy()
