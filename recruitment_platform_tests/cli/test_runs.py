"""`simulate`, `run`, `status` and `demo`, from the command line to the fact table, on the DuckDB engine."""

import csv
import io
import json
import re
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recruitment_platform_tests.cli.command_line import Call, Outcome, call
from recruitment_platform_tests.cli.exports import clicks, jobs

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
FIRST = YESTERDAY - timedelta(days=1)
DEMO = ("demo", "--days", "2", "--events-per-day", "400")


@pytest.fixture(autouse=True)
def on_duckdb(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("RECRUITMENT_ENGINE", "duckdb")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A home in which the demo ran once, and what it told."""
    home = tmp_path_factory.mktemp("shown")
    return home, call(home, *DEMO, RECRUITMENT_ENGINE="duckdb")


@pytest.fixture
def demonstrated(shown: tuple[Path, Outcome], home: Path) -> Outcome:
    """The home is one in which the demo ran once: what it told."""
    shutil.copytree(shown[0], home)
    return shown[1]


def ledger(within: Call) -> list[dict[str, str]]:
    found = within("query", "--format", "csv", "select dates, manifest, digest from load_ledger order by 1")
    return list(csv.DictReader(io.StringIO(found.out, newline="")))


def rows(outcome: Outcome) -> dict[str, list[str]]:
    """The lines of the first table, by day."""
    return {line.split()[0]: line.split()[1:] for line in outcome.out.split("\n\n")[0].splitlines()[2:]}


def test_the_demo_matches_the_truth_and_again_changes_nothing(demonstrated: Outcome, within: Call) -> None:
    first = demonstrated
    assert first.code == 0, first
    assert {day: row[-1] for day, row in rows(first).items()} == {str(FIRST): "matched", str(YESTERDAY): "matched"}
    assert "2 of 2 days match the truth" in first.err
    assert "http://127.0.0.1:3000" in first.err
    loaded = ledger(within)
    again = within("demo")
    assert (again.code, again.out) == (0, first.out)
    assert ledger(within) == loaded


def test_the_demo_is_one_simulation_that_goes_on_from_its_opening(within: Call) -> None:
    days = ("--from", str(FIRST), "--to", str(FIRST))
    assert within("simulate", *days, "--events-per-day", "300", "--faults", "none").code == 0
    found = within("demo")
    assert found.code == 0, found
    assert list(rows(found)) == [str(FIRST), str(YESTERDAY)]
    other = within("demo", "--seed", "8")
    assert (other.code, "seed" in other.err) == (2, True)


def forge_truth(home: Path, day: date, what: str) -> None:
    """The simulator claims of the day one more of that: a click in every row, a distinct event, a rejected row."""
    for path in (home / "truth").rglob("*.parquet"):
        facts = pq.read_table(path, partitioning=None)
        counts = json.loads(facts.schema.metadata[b"counts"])
        if what == "clicks":
            more = pc.add(facts["clicks"], pc.equal(facts["dates"], pa.scalar(day)).cast(pa.int64()))
            facts = facts.set_column(facts.schema.get_field_index("clicks"), "clicks", more)
        elif what == "distinct" and str(day) in counts["days"]:
            counts["days"][str(day)]["distinct"] += 1
        elif what == "rejected" and path.parent.name.endswith(str(day)):
            counts["rejected"] += 1
        pq.write_table(facts.replace_schema_metadata({b"counts": json.dumps(counts)}), path)


@pytest.mark.parametrize(
    ("what", "told", "in_the_table"),
    [
        ("clicks", r"clicks \d+ instead of \d+ \(\d+ rows differ\)", True),
        ("distinct", r"distinct \d+ instead of \d+", True),
        ("rejected", r"\d+ rows were rejected, \d+ must be", False),
    ],
)
def test_a_difference_from_the_truth_is_shown_and_is_a_failure(
    demonstrated: Outcome, home: Path, within: Call, what: str, told: str, in_the_table: bool
) -> None:
    forge_truth(home, YESTERDAY, what)
    found = within("demo")
    assert found.code == 4, found
    assert str(YESTERDAY) in found.err.splitlines()[-1]
    for outcome in (found, within("status")):
        assert rows(outcome)[str(FIRST)][-1] == "matched"
        row = " ".join(rows(outcome)[str(YESTERDAY)])
        assert bool(re.search(told, row)) is in_the_table, row
        assert re.search(told, outcome.out + outcome.err)


def test_a_day_with_events_from_elsewhere_is_not_scored(demonstrated: Outcome, tmp_path: Path, within: Call) -> None:
    noon = datetime.combine(YESTERDAY, time(12), UTC)
    assert within("import", "tracking", str(clicks(tmp_path / "clicks.csv", 1, start=noon))).code == 0
    found = within("demo")
    assert found.code == 0, found
    assert [row[-1] for row in rows(found).values()] == ["matched", "known"]
    assert "1 of 2 days match the truth" in found.err
    assert "matched" not in rows(within("status"))[str(YESTERDAY)]


@pytest.mark.parametrize("faults", ["all,late", "rain", ","])
def test_faults_that_do_not_exist_are_refused(within: Call, faults: str) -> None:
    outcome = within(*DEMO, "--faults", faults)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")


def test_run_publishes_imported_days_and_status_tells_late_ones(tmp_path: Path, within: Call) -> None:
    within("import", "job", str(jobs(tmp_path / "job.csv")), "--as-of", "2025-01-01")
    within("import", "tracking", str(clicks(tmp_path / "clicks.csv", 20, bad=1)))
    days = ("--from", "2025-06-02", "--to", "2025-06-03")
    assert [row[0] for row in rows(within("status", *days)).values()] == ["missing", "missing"]
    done = within("run", *days)
    assert (done.code, done.out) == (0, ""), done
    assert "2 days are published" in done.err
    found = within("status", *days)
    assert rows(found)["2025-06-02"] == ["published", "20", "20", "1", "20", "5.00"]
    assert rows(found)["2025-06-03"] == ["empty", "0", "0", "0", "0", "0.00"]
    assert found.out.splitlines()[-1].split() == [str(datetime.now(UTC).date()), "1"]
    within("import", "tracking", str(clicks(tmp_path / "late.csv", 25)))
    late = rows(within("status", *days))["2025-06-02"]
    assert late[:3] == ["stale", "45", "20"]
    assert within("run", *days).code == 0
    assert rows(within("status", *days))["2025-06-02"][:5] == ["published", "45", "25", "1", "25"]


def test_long_times_without_events_are_one_line(tmp_path: Path, within: Call) -> None:
    within("import", "tracking", str(clicks(tmp_path / "clicks.csv", 1)))
    lines = within("status", "--from", "2025-05-30", "--to", "2025-06-12").out.splitlines()[2:]
    assert [line.split("  ")[0] for line in lines] == [
        "2025-05-30 … 2025-06-01: 3 days",
        "2025-06-02",
        "2025-06-03 … 2025-06-12: 10 days",
    ]


def test_a_bad_day_fails_alone_and_is_named(tmp_path: Path, home: Path, within: Call) -> None:
    within("import", "job", str(jobs(tmp_path / "job.csv")), "--as-of", "2025-01-01")
    within("import", "tracking", str(clicks(tmp_path / "clicks.csv", 20)))
    days = ("--from", "2025-06-01", "--to", "2025-06-02")
    with closing(sqlite3.connect(home / "lake" / "catalog.sqlite")) as connection, connection:
        connection.execute("update day_state set rows = rows + 1")
    outcome = within("run", *days)
    assert outcome.code == 4
    assert "2025-06-02: failed: " in outcome.err
    assert "2025-06-02" in outcome.err.splitlines()[-1]
    found = rows(within("status", *days))
    assert found["2025-06-02"][0] == "failed"
    assert ledger(within)[0]["dates"] == "2025-06-01"


def test_without_a_home_run_says_what_comes_first(home: Path, within: Call) -> None:
    outcome = within("run", "--from", "2025-06-02", "--to", "2025-06-02")
    assert (outcome.code, "begin with" in outcome.err) == (2, True)
    assert not home.exists()
