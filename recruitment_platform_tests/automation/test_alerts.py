"""What is told of a failed run, and to whom: a log line always, and a real web server where there is a webhook."""

import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from recruitment_platform.automation import alerts
from recruitment_platform.automation.alerts import Alert, send
from recruitment_platform.automation.sensors import ALERTS, FRESHNESS
from recruitment_platform.definitions import build_definitions
from recruitment_platform.settings import Settings
from recruitment_platform_tests.automation.daemon import Webhook, webhook
from recruitment_platform_tests.automation.ticks import (
    Daemon,
    a_site_of_today,
    ago,
    lose_an_event,
    settings_at_once,
)
from recruitment_platform_tests.automation.ticks import send as send_events
from recruitment_platform_tests.site import Site

ALERT = Alert(
    job="daily_facts",
    run_id="r1",
    error="it broke",
    days=(date(2024, 3, 1), date(2024, 3, 2)),
    failed_days={date(2024, 3, 2): "it broke"},
    attempt=3,
    max_attempts=3,
    given_up=(date(2024, 3, 2),),
)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as taken:
        yield taken


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which are not waited for."""
    pauses: list[float] = []
    monkeypatch.setattr(alerts.time, "sleep", pauses.append)
    return pauses


def to(address: str) -> Settings:
    return Settings(alert_webhook=SecretStr(address))


def test_an_alert_is_a_line_of_the_log_and_a_document_with_a_text_and_fields(
    hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    assert send(ALERT, to(hook.address))
    text = (
        "daily_facts failed for 2024-03-02, attempt 3 of 3 (run r1): it broke\n"
        "given up: 2024-03-02, until events of it come in; mend what the error tells, then run it by hand"
    )
    assert hook.alerts == [
        {
            "text": text,
            "job": "daily_facts",
            "run_id": "r1",
            "error": "it broke",
            "days": ["2024-03-01", "2024-03-02"],
            "failed_days": {"2024-03-02": "it broke"},
            "attempt": 3,
            "max_attempts": 3,
            "given_up": ["2024-03-02"],
        }
    ]
    line = text.replace("\n", "; ")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("ERROR", line)]


def test_without_a_webhook_it_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert send(ALERT, Settings())
    assert [record.getMessage() for record in caplog.records] == [ALERT.text.replace("\n", "; ")]


@pytest.mark.parametrize(
    ("statuses", "sent", "tries"),
    [
        ([], True, 1),
        ([500, 503], True, 3),
        ([429], True, 2),
        ([500, 502, 503], False, 3),
        ([404], False, 1),
        ([400], False, 1),
    ],
)
def test_a_webhook_is_tried_a_few_times_and_one_that_refuses_is_not(
    hook: Webhook, caplog: pytest.LogCaptureFixture, statuses: list[int], sent: bool, tries: int
) -> None:
    last = statuses[-1] if statuses else 200
    hook.statuses = list(statuses)
    assert send(ALERT, to(hook.address)) == sent
    assert len(hook.alerts) == tries
    told = [record.getMessage() for record in caplog.records if "could not be sent" in record.getMessage()]
    assert told == (
        [] if sent else [f"the alert of run r1 could not be sent to RECRUITMENT_ALERT_WEBHOOK: HTTP {last}"]
    )


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://127.0.0.1:9/services/s3cret-of-a-test", "ConnectionError"),
        ("https://s3cret-of-a-test.invalid/", "ConnectionError"),
        ("s3cret-of-a-test", "MissingSchema"),
    ],
)
def test_a_webhook_that_is_down_fails_nothing_and_its_address_is_told_nowhere(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], address: str, told: str
) -> None:
    caplog.set_level(logging.DEBUG)
    assert not send(ALERT, to(address))
    assert caplog.records[-1].getMessage().endswith(f"RECRUITMENT_ALERT_WEBHOOK: {told}")
    assert "s3cret" not in caplog.text + repr(to(address)) + "".join(capfd.readouterr())


def test_a_webhook_that_takes_the_alert_is_told_nowhere_either(hook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hook.statuses = [500]
    assert send(ALERT, to(hook.address))
    assert "s3cret" not in caplog.text


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = a_site_of_today(tmp_path / "home")
    site.employ()
    return site


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def told_of(instance: dg.DagsterInstance, settings: Settings, run_id: str) -> None:
    """What the sensor does once it has found that the run failed."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    (failure,) = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    repository = build_definitions(settings).get_repository_def()
    context = dg.build_run_status_sensor_context(ALERTS, failure.get_dagster_event(), instance, run)
    sensor: Any = repository.get_sensor_def(ALERTS)
    sensor(context.for_run_failure())


@pytest.mark.parametrize("is_late", [False, True])
def test_of_a_range_the_failed_day_is_told_with_its_attempt_and_at_the_cap_that_it_is_given_up(
    site: Site, instance: dg.DagsterInstance, hook: Webhook, is_late: bool
) -> None:
    """Also where the sensor looks late, when both runs have failed."""
    send_events(site, 2, 1)
    lose_an_event(site, 2)
    settings = settings_at_once(site, max_attempts=2, alert_webhook=SecretStr(hook.address))
    daemon = Daemon(instance, settings)
    daemon.refresh()
    failed = []
    for _ in range(2):
        assert not daemon.run(daemon.look(FRESHNESS).requests[0])
        failed.append(instance.get_runs(dg.RunsFilter(job_name="daily_facts"), limit=1)[0].run_id)
        if not is_late:
            told_of(instance, settings, failed[-1])
    for run_id in failed if is_late else []:
        told_of(instance, settings, run_id)
    first, second = hook.alerts
    assert (first["days"], second["days"]) == ([str(ago(2)), str(ago(1))], [str(ago(2))])
    for alert in (first, second):
        assert list(alert["failed_days"]) == [str(ago(2))]
        assert "day_state tells 2 accepted events" in alert["failed_days"][str(ago(2))]
        assert "day_state tells 2 accepted events" in alert["error"]
    assert [(alert["attempt"], alert["given_up"]) for alert in hook.alerts] == [(1, []), (2, [str(ago(2))])]


def test_a_run_whose_process_is_gone_or_that_broke_is_told_with_all_its_days(
    site: Site, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    def broken() -> Site:
        raise ZeroDivisionError("of all things")

    send_events(site, 2, 1)
    settings = settings_at_once(site, alert_webhook=SecretStr(hook.address))
    daemon = Daemon(instance, settings)
    daemon.refresh()
    request = daemon.look(FRESHNESS).requests[0]
    gone = daemon.launched(request, dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(gone, "the process of this run is gone")
    told_of(instance, settings, gone.run_id)
    assert not Daemon(instance, settings, lake=broken).run(request)
    told_of(instance, settings, instance.get_runs(dg.RunsFilter(job_name="daily_facts"), limit=1)[0].run_id)
    assert [(alert["attempt"], alert["failed_days"], len(alert["days"])) for alert in hook.alerts] == [
        (1, {}, 2),
        (2, {}, 2),
    ]
    assert "the process of this run is gone" in hook.alerts[0]["error"]
    assert hook.alerts[1]["error"] == "ZeroDivisionError: of all things"
