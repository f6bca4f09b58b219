"""`close`, `adjustments` and `restate`, from the command line, on the DuckDB engine."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recruitment_platform_tests.cli.command_line import Call, Outcome, assert_clear
from recruitment_platform_tests.cli.exports import START, clicks, jobs

DAY, NEXT = "2025-06-02", "2025-06-03"


@pytest.fixture
def loaded(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, within: Call) -> Path:
    """A home in which two days are published, 20 clicks and none; returns a folder for exports."""
    monkeypatch.setenv("RECRUITMENT_ENGINE", "duckdb")
    assert within("import", "job", str(jobs(tmp_path / "job.csv")), "--as-of", "2025-01-01").code == 0
    assert within("import", "tracking", str(clicks(tmp_path / "clicks.csv", 20))).code == 0
    assert within("run", "--from", DAY, "--to", NEXT).code == 0
    return tmp_path


def come_late(within: Call, folder: Path, count: int, hours: int) -> None:
    """That many clicks more, of so many hours later."""
    late = clicks(folder / f"late-{hours}.csv", count, start=START + timedelta(hours=hours))
    assert within("import", "tracking", str(late)).code == 0


def states(within: Call) -> dict[str, list[str]]:
    lines = within("status", "--to", NEXT).out.splitlines()[2:]
    return {line.split()[0]: line.split(maxsplit=1)[1].split() for line in lines}


def why(found: Outcome) -> str:
    return " ".join(found.err.split())


def test_only_days_that_are_over_and_published_as_the_lake_has_them_are_closed(loaded: Path, within: Call) -> None:
    today = datetime.now(UTC).date()
    assert_clear(
        within("close", "--through", str(today)), 2, f"{today} is not over yet", str(today - timedelta(days=1))
    )
    come_late(within, loaded, 2, hours=1)
    found = within("close", "--through", "2025-06-20")
    assert_clear(found, 2, "18 days up to 2025-06-20", f"{DAY} stale; 2025-06-04 missing; 2025-06-05 missing")
    assert "and 13 more; nothing was closed" in found.err
    assert f"run --from {DAY} --to 2025-06-20 publishes them" in found.err
    assert_clear(within("close", "--through", NEXT), 2, f"{DAY} stale")
    assert "nothing is closed yet" in why(within("adjustments"))
    assert_clear(within("restate", DAY), 2, f"{DAY} is not closed", f"run --from {DAY} --to {DAY}")
    assert within("run", "--from", DAY, "--to", NEXT).code == 0
    found = within("close", "--through", NEXT)
    assert (found.code, why(found)) == (0, f"the days up to {NEXT} are closed")


def test_closing_through_an_earlier_day_changes_nothing(loaded: Path, within: Call) -> None:
    assert within("close", "--through", NEXT).code == 0
    for day in (NEXT, DAY, "2020-01-01"):
        found = within("close", "--through", day)
        assert (found.code, why(found)) == (0, f"the days up to {NEXT} are closed already")
    rows = within("query", "--format", "csv", "select closed_through from billing_close").out.split()
    assert rows == ["closed_through", NEXT]


def test_late_events_of_a_closed_day_are_listed_as_adjustments_until_it_is_restated(loaded: Path, within: Call) -> None:
    assert within("close", "--through", NEXT).code == 0
    assert f"nothing is adjusted; the days up to {NEXT} are closed" in why(within("adjustments"))
    come_late(within, loaded, 3, hours=1)
    come_late(within, loaded, 2, hours=3)
    assert states(within)[DAY][0] == "stale"
    done = within("run", "--from", DAY, "--to", NEXT)
    assert done.code == 0, done
    assert f"{DAY} is closed: 5 clicks in 2 rows are adjusted" in done.err
    assert states(within)[DAY] == [
        "published",
        "25",
        "25",
        "1",
        "20",
        "5.00",
        "closed;",
        "5",
        "clicks,",
        "1.25",
        "adjusted",
    ]
    assert states(within)[NEXT][-1] == "closed"

    listed = within("adjustments").out.split("\n\n")
    assert [line.split() for line in listed[0].splitlines()[2:]] == [
        [DAY, "1", "Cook", "10", "1", "5", "0", "0", "0", "1.25"]
    ]
    assert listed[1].splitlines()[2].split()[:4] == [DAY, "2", "5", "1.25"]
    rows = list(csv.DictReader(io.StringIO(within("adjustments", "--format", "csv").out, newline="")))
    assert [(row["hours"], row["clicks"], row["spend_hour"]) for row in rows] == [
        ("11", "3", "0.750000"),
        ("13", "2", "0.500000"),
    ]
    assert json.loads(within("adjustments", "--from", NEXT, "--format", "json").out) == []
    assert_clear(within("adjustments", "--from", NEXT, "--to", DAY), 2, "lies after")

    assert_clear(within("restate", DAY, "--to", "2025-06-04"), 2, "2025-06-04 is not closed")
    found = within("restate", DAY)
    assert (found.code, "1 days are restated" in found.err) == (0, True), found
    assert states(within)[DAY] == ["published", "25", "25", "3", "25", "6.25", "closed"]
    assert "nothing is adjusted" in why(within("adjustments"))
    loads = within(
        "query", "--format", "csv", f"select clicks from load_ledger where dates = '{DAY}' order by manifest"
    )
    assert loads.out.split() == ["clicks", "20", "25"]


@pytest.mark.parametrize("command", [("close", "--through", DAY), ("adjustments",), ("restate", DAY)])
def test_a_home_that_is_not_there_is_told(home: Path, within: Call, command: tuple[str, ...]) -> None:
    assert_clear(within(*command), 2, "there is nothing in", str(home))


def test_a_closed_day_of_a_simulation_matches_its_truth_with_its_adjustments(
    home: Path, within: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator's late events come in with the next day's traffic, once the day is closed."""
    monkeypatch.setenv("RECRUITMENT_ENGINE", "duckdb")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    days = [str(yesterday - timedelta(days=number)) for number in (2, 1, 0)]
    simulated = ("--events-per-day", "300", "--seed", "3", "--faults", "all")
    assert within("simulate", "--from", days[0], "--to", days[0], *simulated).code == 0
    assert within("run", "--from", days[0], "--to", days[0]).code == 0
    assert within("close", "--through", days[0]).code == 0
    assert within("simulate", "--from", days[1], "--to", days[2], *simulated).code == 0
    assert within("run", "--from", days[0], "--to", days[2]).code == 0
    found = {line.split()[0]: line for line in within("status").out.split("\n\n")[0].splitlines()[2:]}
    assert all(" matched" in found[day] for day in days), found
    assert "adjusted" in found[days[0]]
