"""`metrics`: the page in a process of its own, for a real Prometheus too, and once to stdout."""

import re
import socket
import time
from datetime import date
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recruitment_platform_tests.cli.command_line import Call, assert_clear, free_port, metrics_page
from recruitment_platform_tests.pipeline.steps import materialize
from recruitment_platform_tests.prometheus import prometheus
from recruitment_platform_tests.site import Site, click

DAY = date(2025, 6, 2)
DAYS = ("--days", "100000")
"""All of them: the day may be long ago."""

SECONDS = 60


@pytest.fixture
def site(home: Path) -> Site:
    """A day is loaded, without an event that came in late."""
    home.mkdir()
    site = Site(home)
    site.employ()
    site.send([click(f"{DAY} 10:00", 1)])
    materialize(site, DAY)
    site.send([click(f"{DAY} 11:00", 2)], source="kafka:tracking/0@x")
    return site


def values(text: str) -> dict[str, float]:
    """Samples by name and labels, as the page writes them."""
    return {
        f"{sample.name}{{{','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def get(port: int, path: str) -> str:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=SECONDS) as answer:
        text: str = answer.read().decode()
        return text


def test_the_page_of_a_running_process_tells_the_figures_as_they_are_now(site: Site, tmp_path: Path) -> None:
    port = free_port()
    with metrics_page(site.home, port, tmp_path / "log.txt", *DAYS):
        found = values(get(port, "/metrics"))
        assert found[f"recruitment_day_state{{day={DAY},state=stale}}"] == 1
        assert found[f"recruitment_day_lag_seconds{{day={DAY}}}"] > 0
        assert found["recruitment_events_accepted_total{source_kind=kafka}"] == 1
        materialize(site, DAY, run_id="again")
        deadline = time.monotonic() + SECONDS
        while (found := values(get(port, "/metrics")))[f"recruitment_day_lag_seconds{{day={DAY}}}"] > 0:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert found[f"recruitment_day_clicks{{day={DAY}}}"] == 2
        assert get(port, "/health") == "ok\n"
        with pytest.raises(HTTPError, match="404"):
            get(port, "/")
    assert "WARNING" not in (tmp_path / "log.txt").read_text()


def test_a_real_prometheus_reads_it(site: Site, tmp_path: Path) -> None:
    port, config = free_port(), tmp_path / "prometheus.yaml"
    config.write_text(
        "{global: {scrape_interval: 1s}, scrape_configs: [{job_name: recruitment, static_configs:"
        f" [{{targets: ['127.0.0.1:{port}']}}]}}]}}"
    )
    with metrics_page(site.home, port, tmp_path / "log.txt", *DAYS), prometheus(config, tmp_path) as ask:
        (lag,) = ask(f'recruitment_day_lag_seconds{{day="{DAY}"}} > 0')
        assert lag["metric"]["job"] == "recruitment"
        (stale,) = ask('recruitment_partitions{state="stale"}')
        assert stale["value"][1] == "1"


def test_once_it_writes_the_page_to_stdout(site: Site, within: Call) -> None:
    done = within("metrics", "--once", *DAYS)
    assert (done.code, done.err) == (0, "")
    assert values(done.out)[f"recruitment_day_spend{{currency=USD,day={DAY}}}"] == 0.25


def test_a_warehouse_that_cannot_be_read_is_told_and_the_lake_is_read(
    site: Site, within: Call, caplog: pytest.LogCaptureFixture
) -> None:
    site.warehouse.path.write_bytes(b"no warehouse")
    done = within("metrics", "--once")
    found = values(done.out)
    assert done.code == 0
    assert found["recruitment_store_up{store=warehouse}"] == 0
    assert found["recruitment_events_accepted_total{source_kind=kafka}"] == 1
    assert re.search(r"the warehouse cannot be read, .* cannot be used", caplog.text)


def test_looking_makes_no_home_and_no_lake(home: Path, within: Call) -> None:
    assert_clear(within("metrics", "--once"), 2, "there is nothing in")
    home.mkdir()
    done = within("metrics", "--once")
    assert (done.code, values(done.out)["recruitment_store_up{store=lake}"]) == (0, 0)
    assert list(home.iterdir()) == []


def test_a_port_that_is_in_use_is_told(site: Site, within: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert_clear(within("metrics", "--port", str(port)), 2, f"port {port}", "--port")
    assert_clear(within("metrics", "--host", "no-such-host.invalid"), 2, "no-such-host.invalid")
