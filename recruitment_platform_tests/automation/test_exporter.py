"""The figures as Prometheus reads them: names, labels, values, and what is told of a store that is away."""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from recruitment_platform.automation import exporter
from recruitment_platform.automation.exporter import METRICS, Opened, PlatformCollector, registry_of
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform_tests.pipeline.steps import adjust, fail, materialize, refuse
from recruitment_platform_tests.prometheus import promtool
from recruitment_platform_tests.runs import settings_of
from recruitment_platform_tests.site import NOW, Site, click, event

TODAY = date(2025, 6, 7)
AT = datetime(2025, 6, 7, 6, tzinfo=UTC)

Samples = dict[tuple[str, ...], float]


def day(number: int) -> date:
    return TODAY - timedelta(days=5 - number)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Of five days from 2 June: published (and closed, and adjusted), empty, stale, failed, missing; a rejected row."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.employ()
    site.send([click(f"{day(number)} 10:00", number, bid="0.50") for number in (0, 2, 3, 4)], source="file:first")
    site.send([click(f"{day(0)} 11:00", 9), event(f"{day(0)} 12:00", 9)], source="file:second")
    materialize(site, day(0), day(1), day(2), day(3))
    site.send([click(f"{day(2)} 23:00", 8), click(f"{day(3)} 23:00", 8)], source="kafka:tracking/0@x")
    refuse(site, click(f"{day(2)} 23:00", 7, bid="-1"), source="kafka:tracking/0@x")
    fail(site, day(3))
    site.warehouse.close_through(day(0), AT)
    site.send([click(f"{day(0)} 13:00", 7, bid="2")], source="kafka:tracking/0@x")
    adjust(site, day(0), "adjusting")
    return site


def opened(site: Site, **other: Callable[..., Any]) -> Opened:
    found: dict[str, Callable[..., Any]] = {
        "lake": lambda: site.lake,
        "objects": lambda: site.objects,
        "warehouse": lambda objects: site.warehouse,
    }
    return Opened(**{**found, **other})


def page(site: Site, opened: Opened, **options: Any) -> str:
    collector = PlatformCollector(settings_of(site), opened, clock=lambda: AT, **options)
    return generate_latest(registry_of(collector)).decode()


def samples(text: str) -> dict[str, Samples]:
    """Every sample by its name, and the values of its labels in the order that the definition gives them."""
    order = {metric.name: metric.labels for metric in METRICS}
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert set(sample.labels) == set(order[sample.name])
            labels = tuple(sample.labels[name] for name in order[sample.name])
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def away() -> Any:
    raise StoreUnavailableError("no way\nthere")


def test_every_figure_is_told_with_its_type_and_meaning_and_no_other(site: Site) -> None:
    text = page(site, opened(site))
    assert set(samples(text)) == {metric.name for metric in METRICS}
    typed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, flags=re.M))
    assert typed == {metric.name: metric.type for metric in METRICS}
    assert {metric.name for metric in METRICS} == set(re.findall(r"^# HELP (\S+) .+$", text, flags=re.M))


def test_the_figures_are_those_of_the_site(site: Site) -> None:
    found = samples(page(site, opened(site)))
    days = [str(day(number)) for number in range(5)]
    ledger = site.warehouse.ledger()
    since = {number: (AT - ledger[day(number)].loaded_at).total_seconds() for number in (2, 3)}
    expected: dict[str, Samples] = {
        "store_up": {("lake",): 1, ("warehouse",): 1, ("objects",): 1},
        "events_received_total": {("file",): 6, ("kafka",): 4},
        "events_accepted_total": {("file",): 6, ("kafka",): 3},
        "events_rejected": {("file",): 0, ("kafka",): 1},
        "rejected_rows": {(str(NOW.date()),): 1},
        "partitions": {("published",): 1, ("empty",): 1, ("stale",): 1, ("failed",): 1, ("missing",): 1},
        "day_state": {
            (days[number], state): 1
            for number, state in enumerate(("published", "empty", "stale", "failed", "missing"))
        },
        "day_lag_seconds": dict(
            zip([(name,) for name in days], (0, 0, since[2], since[3], 6 * 3600), strict=True),
        ),
        "day_accepted_events": dict(zip([(name,) for name in days], (4, 0, 2, 2, 1), strict=True)),
        "day_clicks": dict(zip([(name,) for name in days[:4]], (2, 0, 1, 1), strict=True)),
        "day_spend": dict(zip([(name, "USD") for name in days[:4]], (0.75, 0, 0.5, 0.5), strict=True)),
        "day_adjusted_spend": {(days[0], "USD"): 2},
        "last_load_timestamp_seconds": {(): site.warehouse.adjusted()[day(0)].booked_at.timestamp()},
        "closed_through_timestamp_seconds": {(): datetime(2025, 6, 3, tzinfo=UTC).timestamp()},
    }
    assert {name: found[f"recruitment_{name}"] for name in expected} == expected
    assert set(found) - {f"recruitment_{name}" for name in expected} == {"recruitment_build_info"}


def test_prometheus_own_linter_finds_nothing(site: Site) -> None:
    promtool("check", "metrics", stdin=page(site, opened(site)))


def test_no_more_days_than_asked_for_have_figures_of_their_own(site: Site) -> None:
    site_days = samples(page(site, opened(site), days=2))
    assert {labels[0] for labels in site_days["recruitment_day_lag_seconds"]} == {str(day(3)), str(day(4))}
    assert sum(site_days["recruitment_partitions"].values()) == 5


OF_LAKE_AND_LEDGER = "partitions day_state day_lag_seconds"
OF_LEDGER = (
    f"{OF_LAKE_AND_LEDGER} day_clicks day_spend day_adjusted_spend last_load_timestamp_seconds"
    " closed_through_timestamp_seconds"
)
OF_LAKE = (
    f"{OF_LAKE_AND_LEDGER} events_received_total events_accepted_total events_rejected rejected_rows"
    " day_accepted_events"
)


@pytest.mark.parametrize(
    ("gone", "ups", "left_out"),
    [
        ("lake", (0, 1, 1), OF_LAKE),
        ("warehouse", (1, 0, 1), OF_LEDGER),
        # The warehouse is opened with the object store that it loads from.
        ("objects", (1, 0, 0), OF_LEDGER),
    ],
)
def test_a_store_that_is_away_is_told_and_takes_only_its_own_figures_along(
    site: Site, caplog: pytest.LogCaptureFixture, gone: str, ups: tuple[int, ...], left_out: str
) -> None:
    found = samples(page(site, opened(site, **{gone: lambda *_: away()})))
    assert found["recruitment_store_up"] == dict(zip([("lake",), ("warehouse",), ("objects",)], ups, strict=True))
    missing = {f"recruitment_{name}" for name in left_out.split()}
    assert set(found) == {metric.name for metric in METRICS} - missing
    assert f"the {gone} cannot be read, its figures are left out: no way there" in caplog.messages


def test_an_object_store_that_goes_later_leaves_the_warehouse_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "FRESH", 0.0)
    objects = Gone()
    collector = PlatformCollector(settings_of(site), opened(site, objects=lambda: objects))
    for _ in range(2):
        assert _ups(collector) == {"lake": 1, "warehouse": 1, "objects": 0}


class Gone:
    """An object store that was opened, and is away since."""

    def list(self, prefix: str) -> Any:
        return away()


def test_a_store_is_told_when_it_goes_and_when_it_comes_back_and_not_at_each_scrape(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "FRESH", 0.0)
    caplog.set_level(logging.WARNING, exporter.__name__)
    answers: Iterator[bool] = iter((False, False, True, True))

    def lake() -> Any:
        return site.lake if next(answers) else away()

    collector = PlatformCollector(settings_of(site), opened(site, lake=lake))
    for _ in range(4):
        list(collector.collect())
    assert caplog.messages == [
        "the lake cannot be read, its figures are left out: no way there",
        "the lake is read again",
    ]


def test_a_store_that_hangs_holds_up_no_scrape_and_is_not_asked_anew_meanwhile(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exporter, "FRESH", 0.0)
    released, asked = threading.Event(), []

    class Hanging:
        def ledger(self, days: Any) -> Any:
            asked.append(1)
            released.wait(60)
            return site.warehouse.ledger(days)

        def closed_through(self) -> None:
            return None

    collector = PlatformCollector(settings_of(site), opened(site, warehouse=lambda objects: Hanging()), patience=0.5)
    for _ in range(2):
        began = time.monotonic()
        assert _ups(collector)["warehouse"] == 0
        assert time.monotonic() - began < 30
    assert (asked, caplog.messages) == ([1], ["the warehouse has not answered yet; its figures are left out"])
    released.set()
    collector._patience = 60
    assert _ups(collector) == {"lake": 1, "warehouse": 1, "objects": 1}
    assert asked == [1]


def _ups(collector: PlatformCollector) -> dict[str, float]:
    (family,) = (family for family in collector.collect() if family.name == "recruitment_store_up")
    return {sample.labels["store"]: sample.value for sample in family.samples}


def test_scrapes_that_come_at_once_share_one_look(site: Site) -> None:
    asked = []

    def lake() -> Any:
        asked.append(1)
        return away()

    collector = PlatformCollector(settings_of(site), opened(site, lake=lake))
    threads = [threading.Thread(target=lambda: list(collector.collect())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [1]


def test_a_home_without_events_has_figures_too(tmp_path: Path) -> None:
    site = Site(tmp_path)
    found = samples(page(site, opened(site)))
    assert set(found["recruitment_store_up"].values()) == {1}
    assert set(found["recruitment_partitions"].values()) == {0}
    assert not [name for name in found if "_day_" in name]
