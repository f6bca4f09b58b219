"""Volumes: a year of daily partitions in one run, and a week of real days with every fault on both engines."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.measured import Measured, measured

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
LEDGER = "select dates, digest, rows_loaded, clicks, spend from load_ledger order by dates, manifest"


def say(capsys: pytest.CaptureFixture[str], what: str, run: Measured) -> None:
    with capsys.disabled():
        print(f"\n{what}: {run.seconds:,.0f} s, at most {run.peak_mib:,} MiB in all processes")


def ledger(home: Path, settings: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    asked = measured(home, "query", "--format", "csv", LEDGER, settings=settings)
    return list(csv.DictReader(io.StringIO(asked.stdout)))


def days(first: date) -> list[str]:
    return [str(first + timedelta(days=n)) for n in range((YESTERDAY - first).days + 1)]


def test_a_year_of_days_is_backfilled_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, first = tmp_path / "year", YESTERDAY - timedelta(days=364)
    simulated = measured(
        home, "simulate", "--from", str(first), "--to", str(YESTERDAY), "--events-per-day", "20000", "--faults", "all"
    )
    say(capsys, "a year of 20,000 events a day simulated", simulated)
    run = measured(home, "run", "--from", str(first), "--to", str(YESTERDAY))
    say(capsys, "a year of 20,000 events a day on spark, 365 days in one run", run)
    assert [row["dates"] for row in ledger(home)] == days(first)
    status = measured(home, "status", "--from", str(first), "--to", str(YESTERDAY)).stdout
    assert status.count("matched") == 365, status


def test_a_week_with_every_fault_matches_the_truth_on_both_engines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = YESTERDAY - timedelta(days=6)
    digests = {}
    for engine in ("spark", "duckdb"):
        home = tmp_path / engine
        run = measured(home, "demo", "--faults", "all", settings={"RECRUITMENT_ENGINE": engine})
        say(capsys, f"the demo, 7 days of 200,000 events, on {engine}", run)
        assert run.stdout.count("matched") == 7, run.stdout
        digests[engine] = [(row["dates"], row["digest"]) for row in ledger(home)]
    assert digests["spark"] == digests["duckdb"]
    assert [day for day, _ in digests["spark"]] == days(first)
