"""Fresh without anyone asking: on the real daemon, with data dated relative to today.

One home goes through it all, as starting a daemon is what takes long: yesterday is missing, events come late, a day
cannot be published, and everything is killed in the middle of a run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from pydantic import SecretStr

from recruitment_platform.automation.in_flight import days_of
from recruitment_platform.automation.instance import PROCESS_TAG, open_instance
from recruitment_platform.automation.run import run_partitions
from recruitment_platform.automation.sensors import FRESHNESS, LATE_DATA
from recruitment_platform.settings import Settings
from recruitment_platform_tests.automation.daemon import (
    Webhook,
    cursors,
    daemon,
    environment_of,
    kill,
    runs,
    ticks,
    until,
    webhook,
)
from recruitment_platform_tests.automation.ticks import (
    a_site_of_today,
    ago,
    holding,
    lose_an_event,
    send,
    settings_at_once,
)
from recruitment_platform_tests.site import Site

DAYS = 30
SECOND = timedelta(seconds=1)
STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


@dataclass
class Home:
    """A home with thirty days, its settings, the daemon's log, and the webhook that alerts go to."""

    site: Site
    settings: Settings
    log: Path
    alerts: Webhook

    def digests(self) -> dict[date, str]:
        return {day: row.digest for day, row in self.site.warehouse.ledger().items()}

    def settled(self) -> bool:
        """Whether both sensors have found nothing to do, since the call before found something."""
        newest = [ticks(self.settings, sensor)[:1] for sensor in (FRESHNESS, LATE_DATA)]
        return newest == [["every expected day is published"], ["no new data"]]

    def reloaded(self, before: dict[date, str]) -> set[date]:
        after = self.digests()
        return {day for day in after if after[day] != before.get(day)}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """All but yesterday is published, as it was when nobody looked for a day."""
    site = a_site_of_today(tmp_path / "home")
    site.employ()
    send(site, *range(1, DAYS + 1))
    with webhook() as alerts:
        settings = settings_at_once(
            site,
            freshness_interval=SECOND,
            late_data_interval=SECOND,
            look_back_days=DAYS,
            alert_webhook=SecretStr(alerts.address),
        )
        with open_instance(settings) as instance:
            assert run_partitions(instance, settings, ago(DAYS), ago(2)).success
        yield Home(site, settings, tmp_path / "daemon.log", alerts)


@pytest.mark.timeout(1800)
def test_days_are_published_tried_again_given_up_and_healed_without_anyone_asking(home: Home) -> None:
    site, log = home.site, home.log
    environment = environment_of(home.settings)
    with daemon(log, environment) as process:
        before = home.digests()
        until(home.settled, log)
        assert home.reloaded(before) == {ago(1)}
        kept = cursors(home.settings)
        assert (kept[FRESHNESS], kept[LATE_DATA]) == (None, None)  # what is not kept cannot be lost

        before = home.digests()
        send(site, 20, 10, 9, source="test:late", number=1)
        until(lambda: len(home.reloaded(before)) == 3, log)
        assert home.reloaded(before) == {ago(20), ago(10), ago(9)}

        before = home.digests()
        former = {record.dagster_run.run_id for record in runs(home.settings)}
        lose_an_event(site, 5)
        send(site, 5, 6, source="test:late", number=1)
        until(lambda: any(alert["given_up"] for alert in home.alerts.alerts), log)
        tried = [record.dagster_run for record in runs(home.settings) if record.dagster_run.run_id not in former]
        assert [run.status for run in tried] == [FAILURE] * 3
        assert [days_of(run) for run in tried] == [[ago(6), ago(5)], [ago(5)], [ago(5)]]
        assert home.reloaded(before) == {ago(6)}
        assert [(alert["attempt"], alert["given_up"]) for alert in home.alerts.alerts] == [
            (1, []),
            (2, []),
            (3, [str(ago(5))]),
        ]
        until(lambda: "given up after 3 attempts" in ticks(home.settings, LATE_DATA)[0], log)

        send(site, 15, source="test:later", number=2)
        until(lambda: runs(home.settings, statuses=NOT_FINISHED_STATUSES), log)
        with holding(site.warehouse.path):  # so that the run does not end before it is killed
            (killed,) = until(lambda: in_process(home.settings), log)
            kill(process)
    before = home.digests()
    with daemon(log, environment):
        until(lambda: ago(15) in home.reloaded(before), log)
        assert home.reloaded(before) == {ago(15)}
        (failed,) = [record for record in runs(home.settings) if record.dagster_run.run_id == killed]
        assert failed.dagster_run.status == FAILURE
    assert home.alerts.address not in log.read_text()


def in_process(settings: Settings) -> list[str]:
    """Runs of the daily job whose process is known."""
    return [
        record.dagster_run.run_id
        for record in runs(settings, statuses=[STARTED])
        if PROCESS_TAG in record.dagster_run.tags
    ]
