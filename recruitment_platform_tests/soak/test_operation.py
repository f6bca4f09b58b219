"""Late events of 3 of 30 days, and what asks for them is killed or loses its memory: the end is always the same.

The rest of the operation, from a missing day to an alert, is in `automation.test_daemon`, which the suite runs.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import date, timedelta
from pathlib import Path
from subprocess import Popen

import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from recruitment_platform.automation.instance import open_instance
from recruitment_platform.automation.run import run_partitions
from recruitment_platform.automation.sensors import FRESHNESS, LATE_DATA
from recruitment_platform.settings import Settings
from recruitment_platform_tests.automation.daemon import daemon, environment_of, kill, ticks, until, web_page
from recruitment_platform_tests.automation.ticks import a_site_of_today, ago, holding, send, settings_at_once
from recruitment_platform_tests.site import Site
from recruitment_platform_tests.soak.troubles import forget, kill_run, run_under_way, tick_under_way, unfinished

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

DAYS = 30
LATE = (20, 10, 9)
SECOND = timedelta(seconds=1)
PATIENCE = 600.0

MATERIALIZED = """
query {
  assetNodeOrError(assetKey: {path: ["redshift_fact_events"]}) {
    ... on AssetNode { partitionStats { numMaterialized numFailed } }
  }
}
"""

Process = Popen[bytes]


def nothing(settings: Settings, process: Process) -> None:
    """Goes wrong."""


def the_sensors_forget(settings: Settings, process: Process) -> None:
    assert all(forget(settings, sensor) for sensor in (FRESHNESS, LATE_DATA))


def a_tick_is_killed(settings: Settings, process: Process) -> None:
    assert tick_under_way(settings, LATE_DATA)
    kill(process)


def a_run_is_killed(settings: Settings, process: Process) -> None:
    with a_run_that_does_not_end(settings) as run_id:
        assert kill_run(settings, run_id)


def the_daemon_is_killed_in_mid_run(settings: Settings, process: Process) -> None:
    with a_run_that_does_not_end(settings):
        kill(process)


@contextmanager
def a_run_that_does_not_end(settings: Settings) -> Iterator[str]:
    """A run under way, which cannot load while another program holds the warehouse: held once it is asked for."""
    deadline = time.monotonic() + PATIENCE
    while not unfinished(settings, *NOT_FINISHED_STATUSES):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    with holding(settings.warehouse_path):
        run_id = run_under_way(settings)
        assert run_id is not None
        yield run_id


@pytest.mark.parametrize(
    "trouble",
    [nothing, the_sensors_forget, a_tick_is_killed, a_run_is_killed, the_daemon_is_killed_in_mid_run],
)
def test_the_whole_of_operation_ends_the_same_whatever_is_killed_or_forgotten(
    tmp_path: Path, trouble: Callable[[Settings, Process], None]
) -> None:
    site, settings = published_but_for_yesterday(tmp_path / "home")
    log = tmp_path / "daemon.log"

    def running() -> AbstractContextManager[Process]:
        return daemon(log, environment_of(settings))

    def settled() -> bool:
        newest = [ticks(settings, sensor)[:1] for sensor in (FRESHNESS, LATE_DATA)]
        return newest == [["every expected day is published"], ["no new data"]]

    with web_page(tmp_path / "page.log", environment_of(settings)) as page:
        with running() as process:
            until(lambda: ago(1) in digests(site) and settled(), log, PATIENCE)
            before, loads = digests(site), load_counts(site)
            send(site, *LATE, source="test:late", number=1)
            trouble(settings, process)
            killed = process.poll() is not None
            if not killed:
                until(lambda: len(changed(before, digests(site))) == len(LATE) and settled(), log, PATIENCE)
        if killed:
            with running():
                until(lambda: len(changed(before, digests(site))) == len(LATE) and settled(), log, PATIENCE)
        stats = page.ask(MATERIALIZED)["partitionStats"]
    after = digests(site)
    late = {ago(number) for number in LATE}
    assert changed(before, after) == late
    assert {day for day, count in load_counts(site).items() if count != loads[day]} == late
    assert stats == {"numMaterialized": DAYS, "numFailed": 0}
    assert after == digests(as_if_nothing_had_happened(tmp_path / "undisturbed"))


def published_but_for_yesterday(home: Path) -> tuple[Site, Settings]:
    site = a_site_of_today(home)
    site.employ()
    send(site, *range(1, DAYS + 1))
    settings = settings_at_once(site, freshness_interval=SECOND, late_data_interval=SECOND, look_back_days=DAYS)
    publish(settings, DAYS, 2)
    return site, settings


def as_if_nothing_had_happened(home: Path) -> Site:
    """The same events, all there before the one run."""
    site = a_site_of_today(home)
    site.employ()
    send(site, *range(1, DAYS + 1))
    send(site, *LATE, source="test:late", number=1)
    publish(settings_at_once(site), DAYS, 1)
    return site


def publish(settings: Settings, first: int, last: int) -> None:
    with open_instance(settings) as instance:
        assert run_partitions(instance, settings, ago(first), ago(last)).success


def digests(site: Site) -> dict[date, str]:
    return {day: row.digest for day, row in site.warehouse.ledger().items()}


def load_counts(site: Site) -> dict[date, int]:
    return {day: len(site.warehouse.loads(day)) for day in site.warehouse.ledger()}


def changed(before: Mapping[date, str], after: Mapping[date, str]) -> set[date]:
    return {day for day in after if after[day] != before.get(day)}
