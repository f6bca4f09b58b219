"""The dashboard over Prometheus: each panel's query is asked of a real one, which reads the figures of a small site."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import yaml

from recruitment_platform.automation.exporter import METRICS, Opened, PlatformCollector, registry_of, serving
from recruitment_platform_tests.cli.command_line import free_port
from recruitment_platform_tests.dashboards.grafana import DOCKER, render_promql, targets
from recruitment_platform_tests.pipeline.steps import adjust, fail, materialize, refuse
from recruitment_platform_tests.prometheus import Ask, prometheus
from recruitment_platform_tests.runs import settings_of
from recruitment_platform_tests.site import NOW, Site, click

FRESHNESS = "freshness"
AT = datetime(2025, 6, 7, 6, tzinfo=UTC)
"""Now, as the exporter of this test is told."""


@pytest.fixture
def site_of_five(tmp_path: Path) -> Site:
    """Of five days from 2 June: published, empty, stale, failed, missing."""
    site = Site(tmp_path / "home")
    site.employ()
    days = [date(2025, 6, number) for number in (2, 3, 4, 5, 6)]
    site.send([click(f"{days[number]} 10:00", number, bid="0.50") for number in (0, 2, 3, 4)], source="file:first")
    site.send([click(f"{days[0]} 11:00", 9)], source="file:second")
    materialize(site, *days[:4])
    site.send([click(f"{days[2]} 23:00", 8), click(f"{days[3]} 23:00", 8)], source="kafka:tracking/0@x")
    refuse(site, click(f"{days[2]} 23:00", 7, bid="-1"), source="kafka:tracking/0@x")
    fail(site, days[3])
    site.warehouse.close_through(days[0], AT)
    site.send([click(f"{days[0]} 13:00", 7, bid="2")], source="kafka:tracking/0@x")
    adjust(site, days[0], "adjusting")
    return site


@contextmanager
def watched(site: Site, folder: Path) -> Iterator[Ask]:
    """A Prometheus with the configuration of `docker/`, but for the address and the interval, over that site."""
    port = free_port()
    config = yaml.safe_load((DOCKER / "prometheus.yaml").read_text(encoding="utf-8"))
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    opened = Opened(lambda: site.lake, lambda: site.objects, lambda objects: site.warehouse)
    collector = PlatformCollector(settings_of(site), opened, clock=lambda: AT)
    with (
        serving(registry_of(collector), "127.0.0.1", port),
        prometheus(folder / "prometheus.yaml", folder) as ask,
    ):
        yield ask


def lag_of(site: Site, number: int) -> float:
    return (AT - site.warehouse.ledger()[date(2025, 6, number)].loaded_at).total_seconds()


def test_each_panel_over_prometheus_shows_the_sites_state(site_of_five: Site, tmp_path: Path) -> None:
    days = [f"2025-06-0{number}" for number in (2, 3, 4, 5, 6)]
    states = ("published", "empty", "stale", "failed", "missing")
    lags = (0.0, 0.0, lag_of(site_of_five, 4), lag_of(site_of_five, 5), 6 * 3600.0)
    expected: dict[str, dict[tuple[str, ...], float]] = {
        "Stores": {("lake",): 1, ("warehouse",): 1, ("objects",): 1},
        "Days by state": {(state,): 1 for state in states},
        "Longest lag": {(): 6 * 3600},
        "Stale, missing and failed days": {(state,): 1 for state in states[2:]},
        "State of the last days": dict.fromkeys(zip(days, states, strict=True), 1),
        "Lag by day": {(day,): lag for day, lag in zip(days, lags, strict=True)},
        "Spend by day": {(day,): spent for day, spent in zip(days[:4], (0.75, 0, 0.5, 0.5), strict=True)},
        "Clicks by day": {(day,): clicks for day, clicks in zip(days[:4], (2, 0, 1, 1), strict=True)},
        "Accepted rows in the lake, by event day": {
            (day,): rows for day, rows in zip(days, (3, 0, 2, 2, 1), strict=True)
        },
        "Rejected rows, by ingest day": {(str(NOW.date()),): 1},
        "Rejected tracking rows": {(): 1},
        "Adjusted spend by day": {(days[0],): 2},
        "Closed until": {(): datetime(2025, 6, 3, tzinfo=UTC).timestamp() * 1000},
    }
    with watched(site_of_five, tmp_path) as ask:
        found = {title: answer(ask, target["expr"]) for title, target in targets(FRESHNESS)}
    (booked,) = site_of_five.warehouse.adjusted().values()
    loaded = found.pop("Since the last load")[()]
    assert 0 <= loaded <= time.time() - booked.booked_at.timestamp()
    found.pop("Events a second, by kind of source")
    assert found == expected


def test_events_a_second_are_those_that_come_in(tmp_path: Path) -> None:
    site = Site(tmp_path / "home")
    for source in ("file:first", "kafka:tracking/0@x"):
        site.send([click("2025-06-02 10:00")], source=source)
    (expression,) = (target["expr"] for title, target in targets(FRESHNESS) if title.startswith("Events a second"))
    with watched(site, tmp_path) as ask:
        deadline, number = time.monotonic() + 60, 1
        while not (rates := answer(ask, expression)) or rates["kafka",] == 0:
            assert time.monotonic() < deadline, rates
            site.send([click("2025-06-02 10:00", number)], source="kafka:tracking/0@x")
            number += 1
            time.sleep(1)
    assert rates["file",] == 0


def answer(ask: Ask, expression: str) -> dict[tuple[str, ...], float]:
    """Values by their labels, in the labels' alphabetical order."""
    return {
        tuple(value for _, value in sorted(sample["metric"].items())): float(sample["value"][1])
        for sample in ask(render_promql(expression, "30s"))
    }


def test_panels_name_no_metric_and_no_label_that_the_exporter_has_not() -> None:
    labels = {metric.name: set(metric.labels) for metric in METRICS}
    named: set[str] = set()
    for title, target in targets(FRESHNESS):
        metrics = set(re.findall(r"\brecruitment_\w+", target["expr"]))
        assert metrics, title
        used = re.findall(r"by \(([^)]+)\)", target["expr"]) + re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        used += re.findall(r"(\w+)=~?\"", target["expr"])
        for metric in metrics:
            assert set(re.findall(r"\w+", " ".join(used))) <= labels[metric], title
        named |= metrics
    assert set(labels) - named == {"recruitment_build_info", "recruitment_events_received_total"}
