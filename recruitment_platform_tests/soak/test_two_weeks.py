"""Two weeks, simulated day by day with every fault, while the platform's own parts are killed, held up and stopped.

A real daemon looks at short intervals all along. After every day all that is published so far is the simulator's truth,
the ledger adds up, and the audit explains what each load has changed. What happens when is decided by the seed; what it
meets is not, as real processes are under way.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from subprocess import Popen

import pyarrow as pa
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from recruitment_platform.automation.attempts import inputs_of
from recruitment_platform.automation.instance import open_instance
from recruitment_platform.automation.sensors import FRESHNESS, LATE_DATA
from recruitment_platform.cli.truth import MATCHED, rejected_truth, truth_by_day
from recruitment_platform.pipeline.audit import Load, audit_day
from recruitment_platform.pipeline.status import day_statuses
from recruitment_platform.resources.protocols import DayTotals
from recruitment_platform.resources.stores import Stores, open_stores
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.destinations import LakeDestination
from recruitment_platform.simulation.events import Block
from recruitment_platform.simulation.record import ALL_FAULTS, Simulation
from recruitment_platform.simulation.simulate import SimulatedDay, planned, run_simulation
from recruitment_platform_tests.automation.daemon import daemon, environment_of, kill
from recruitment_platform_tests.automation.ticks import TIME_ZONE, ago, holding
from recruitment_platform_tests.cli.command_line import call
from recruitment_platform_tests.processes import in_background
from recruitment_platform_tests.soak.behind import behind
from recruitment_platform_tests.soak.troubles import forget, kill_run, run_under_way, tick_under_way, unfinished

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

DAYS = 14
EVENTS_PER_DAY = 10_000
SEED = 5

SLICES = 10
"""In so many parts a day arrives, with a pause after each: so that looks and runs fall in between."""
PAUSE = 0.5

PATIENCE = 600.0
"""Seconds in which the sensors must have brought everything up to date."""

WRONG = ("missing", "failed", "stale")

SENSORS = (FRESHNESS, LATE_DATA)


@dataclass(frozen=True)
class InSlices:
    """The lake as a destination that takes a block in parts, with a pause after each."""

    lake: LakeDestination

    def check_own(self, simulation: Simulation) -> None:
        self.lake.check_own(simulation)

    def has(self, block: Block, before: int, rows: int) -> bool:
        return self.lake.has(block, before, rows)

    def ready(self, block: Block, before: int, raw: pa.Table) -> pa.Table:
        return raw

    def take(self, block: Block, before: int, ready: pa.Table) -> None:
        edges = [len(ready) * number // SLICES for number in range(SLICES + 1)]
        for start, end in pairwise(edges):
            part = self.lake.ready(block, before + start, ready.slice(start, end - start))
            self.lake.take(block, before + start, part)
            time.sleep(PAUSE)

    def drop(self, ready: pa.Table) -> None:
        """There is nothing to let go of."""


def simulation_of(settings: Settings) -> Simulation:
    return planned(settings, ago(DAYS), ago(1), seed=SEED, events_per_day=EVENTS_PER_DAY, faults=ALL_FAULTS)


def arrive(settings: Settings, day: date) -> None:
    """For a process of its own: the day's traffic arrives, or what is missing of it."""
    stores = open_stores(settings)
    lake = LakeDestination(settings.truth_path, stores.lake, settings.first_day)
    told: list[SimulatedDay] = []
    run_simulation(settings, InSlices(lake), stores.relational, simulation_of(settings), day, day, told.append)


@dataclass
class Platform:
    """The platform of a home, its daemon as a process, and what became of both."""

    settings: Settings
    log: Path
    random: random.Random
    stores: Stores = field(init=False)
    happened: Counter[str] = field(default_factory=Counter)
    loads: dict[date, int] = field(default_factory=dict)
    totals: dict[date, DayTotals] = field(default_factory=dict)
    _process: Popen[bytes] | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.stores = open_stores(self.settings)

    @contextmanager
    def running(self) -> Iterator["Platform"]:
        """With its daemon, from the beginning to the end."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        if self._process is None:
            self._process = self._stack.enter_context(daemon(self.log, environment_of(self.settings)))

    def stop(self) -> None:
        """Ends the daemon as Ctrl-C does."""
        self._process = None
        self._stack.close()

    def kill(self) -> None:
        """Ends the daemon, its code server and its runs as a power failure does."""
        assert self._process is not None
        kill(self._process)
        self.stop()


# What goes wrong while a day arrives. Each tells whether it came to it.


def the_daemon_is_killed_in_mid_run(platform: Platform) -> bool:
    met = run_under_way(platform.settings) is not None
    time.sleep(platform.random.uniform(0, 3))
    platform.kill()
    platform.start()
    return met


def the_daemon_is_killed_in_mid_tick(platform: Platform) -> bool:
    met = tick_under_way(platform.settings, platform.random.choice(SENSORS))
    platform.kill()
    platform.start()
    return met


def the_daemon_is_killed_at_any_time(platform: Platform) -> bool:
    time.sleep(platform.random.uniform(0, 20))
    platform.kill()
    platform.start()
    return True


def a_run_is_killed(platform: Platform) -> bool:
    run_id = run_under_way(platform.settings)
    if run_id is None:
        return False
    time.sleep(platform.random.uniform(0, 1.5))
    return kill_run(platform.settings, run_id)


def another_program_holds_the_warehouse(platform: Platform) -> bool:
    with holding(platform.settings.warehouse_path):
        time.sleep(platform.random.uniform(5, 20))
    return True


def a_sensor_forgets(platform: Platform) -> bool:
    return forget(platform.settings, platform.random.choice(SENSORS))


SIMULATOR_KILLED = "the simulator is killed in mid-day"
DAEMON_STOPPED = "the daemon is stopped while the day arrives"

Trouble = Callable[[Platform], bool]
TROUBLES: dict[str, Trouble | None] = {
    **{
        trouble.__name__.replace("_", " "): trouble
        for trouble in (
            the_daemon_is_killed_in_mid_run,
            the_daemon_is_killed_in_mid_tick,
            the_daemon_is_killed_at_any_time,
            a_run_is_killed,
            another_program_holds_the_warehouse,
            a_sensor_forgets,
        )
    },
    SIMULATOR_KILLED: None,
    DAEMON_STOPPED: None,
}


def troubles_of_days(chance: random.Random) -> list[list[str]]:
    """Of each day what goes wrong on it, the first day included; everything does at least once."""
    names = list(TROUBLES)
    days = [chance.sample(names, chance.choice([1, 1, 2])) for _ in range(DAYS)]
    for number, name in enumerate(chance.sample(names, len(names))):
        if not any(name in day for day in days):
            days[number % DAYS].append(name)
    return days


def test_two_weeks_of_faults_and_restarts_match_the_truth_day_by_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    looking = {"late_data_interval": timedelta(seconds=5), "freshness_interval": timedelta(seconds=5)}
    patience = {"warehouse_wait": timedelta(seconds=3), "retry_pause": timedelta(seconds=1)}
    attempts = {"attempt_pause": timedelta(seconds=1), "max_attempts": 6}
    settings = Settings(
        home=tmp_path / "home",
        engine="duckdb",
        time_zone=TIME_ZONE,
        freshness_grace=timedelta(0),
        **looking,
        **patience,
        **attempts,
    )
    chance = random.Random(SEED)
    began = time.monotonic()
    with Platform(settings, tmp_path / "daemon.log", chance).running() as platform:
        for number, troubles in enumerate(troubles_of_days(chance)):
            day = ago(DAYS - number)
            day_begins = time.monotonic()
            let_arrive(platform, day, troubles)
            wait_until_up_to_date(platform, day)
            changed = look(platform, day)
            with capsys.disabled():
                print(
                    f"\n{day}: {', '.join(troubles)}; {len(changed)} days changed;"
                    f" {time.monotonic() - day_begins:,.0f} s",
                    end="",
                )
    assert platform.happened.keys() == TROUBLES.keys(), "not everything came to pass; another seed will do"
    with capsys.disabled():
        print(summary(platform, time.monotonic() - began))


def let_arrive(platform: Platform, day: date, troubles: list[str]) -> None:
    """The day's traffic arrives, and what goes wrong does so; at the end it is all there, and the daemon is up."""
    if DAEMON_STOPPED in troubles:
        platform.stop()
        platform.happened[DAEMON_STOPPED] += 1
    arriving = in_background(arrive, platform.settings, day)
    if SIMULATOR_KILLED in troubles:
        source = simulation_source(platform, day)
        enough = platform.random.randrange(1, EVENTS_PER_DAY // 2)
        while arriving.is_alive() and platform.stores.lake.progress(source) < enough:
            time.sleep(0.05)
        arriving.kill()
        arriving.join(60)
        platform.happened[SIMULATOR_KILLED] += int(arriving.exitcode == -signal.SIGKILL)
        arriving = in_background(arrive, platform.settings, day)
    if DAEMON_STOPPED in troubles or platform.random.random() < 0.5:
        arriving.join(120)
    for name in troubles:
        trouble = TROUBLES[name]
        if trouble is not None:
            platform.start()
            platform.happened[name] += int(trouble(platform))
    arriving.join(120)
    assert arriving.exitcode == 0, f"{day} did not arrive"
    platform.start()


def simulation_source(platform: Platform, day: date) -> str:
    return simulation_of(platform.settings).source(day)


def wait_until_up_to_date(platform: Platform, day: date) -> None:
    """No day up to this one is missing, failed or stale, no event waits for its fact, and no run is under way."""
    stores = platform.stores
    deadline = time.monotonic() + PATIENCE
    while True:
        statuses = day_statuses(stores.lake, stores.objects, stores.warehouse, day + timedelta(days=1))
        wrong = [f"{found.day} {found.state}: {found.reason}" for found in statuses if found.state in WRONG]
        waiting = (
            wrong or behind(stores) or [run.run_id for run in unfinished(platform.settings, *NOT_FINISHED_STATUSES)]
        )
        if not waiting:
            return
        assert time.monotonic() < deadline, f"{day}: {waiting}\n{platform.log.read_text()[-20_000:]}"
        time.sleep(2)


def look(platform: Platform, day: date) -> list[date]:
    """That all is as it must be; returns the days that were loaded since the last look."""
    stores, settings = platform.stores, platform.settings
    truth = truth_by_day(settings, stores.lake, stores.objects, stores.warehouse, stores.lake.days())
    assert truth == dict.fromkeys(stores.lake.days(), MATCHED), f"after {day}: {truth}"
    assert rejected_truth(settings, stores.lake) == ""
    sources = stores.lake.sources()
    assert all(source.received == source.accepted + source.rejected for source in sources), sources
    accepted = sum(state.rows for state in stores.lake.day_states())
    assert accepted == sum(source.accepted for source in sources)
    ledger = stores.warehouse.ledger()
    totals = stores.warehouse.totals(ledger)
    changed = []
    for found, row in ledger.items():
        assert (row.rows, row.clicks, row.spend_micros) == figures(totals[found]), f"after {day}: {found}"
        audit = audit_day(stores.lake, stores.objects, stores.warehouse, found)
        assert audit.problems == [], f"after {day}: {found}"
        known = platform.loads.get(found, 0)
        if len(audit.loads) > known:
            changed.append(found)
            explain(found, audit.loads[known:], platform.totals.get(found), totals[found])
        else:
            assert totals[found] == platform.totals[found], f"after {day}: {found} changed without a load"
        platform.loads[found] = len(audit.loads)
    platform.totals = totals
    told = call(settings.home, "audit", str(changed[-1]), RECRUITMENT_TIME_ZONE=TIME_ZONE)
    assert told.code == 0, told
    return changed


def explain(day: date, loads: tuple[Load, ...], before: DayTotals | None, after: DayTotals) -> None:
    """What the loads have changed is what the table has changed by, and each that changed something says why."""
    changes = [sum(change) for change in zip(*(load.changes for load in loads), strict=True)]
    then = (0, 0, 0) if before is None else figures(before)
    assert changes == [now - former for now, former in zip(figures(after), then, strict=True)], f"{day}: {loads}"
    for load in loads:
        assert load.why, f"{day}: {load}"
        if load.before is not None and load.row.digest != load.before.digest:
            assert any(reason.startswith(("events from", "dim_jobs")) for reason in load.why), f"{day}: {load}"


def figures(totals: DayTotals) -> tuple[int, int, int]:
    return totals.rows, totals.clicks, totals.spend_micros


def summary(platform: Platform, seconds: float) -> str:
    with open_instance(platform.settings) as instance:
        runs = [run for run in instance.get_runs() if run.job_name == "daily_facts"]
    by_status = Counter(run.status.name.lower() for run in runs)
    attempts = Counter(found for run in runs for found in inputs_of(run).items())
    received = sum(source.received for source in platform.stores.lake.sources())
    lines = [
        f"{DAYS} days, {received:,} events in {seconds:,.0f} s",
        f"{len(runs)} runs: {', '.join(f'{count} {status}' for status, count in sorted(by_status.items()))}",
        f"{sum(platform.loads.values())} loads of {len(platform.loads)} days; {len(attempts)} states of days were asked"
        f" for, {sum(made > 1 for made in attempts.values())} of them again, {max(attempts.values())} times at most",
        *(f"{name}: {times} times" for name, times in sorted(platform.happened.items())),
    ]
    return "\n" + "\n".join(lines)
