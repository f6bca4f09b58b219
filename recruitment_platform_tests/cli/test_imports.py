"""`import` and `rejected`: what is told, what is kept, what can be mended."""

import json
from pathlib import Path

from recruitment_platform.resources.relational.store import open_relational
from recruitment_platform_tests.cli.command_line import Call
from recruitment_platform_tests.cli.exports import clicks, jobs


def test_importing_twice_changes_nothing_and_says_so(tmp_path: Path, within: Call) -> None:
    file = clicks(tmp_path / "clicks.csv", 20, bad=2)
    first = within("import", "tracking", str(file))
    assert (first.code, first.out) == (0, "")
    assert "22 rows received: 20 accepted, 0 already known, 2 rejected" in first.err
    assert "rejected list" in first.err
    day = within("status").out
    copy = tmp_path / "copy.csv"
    copy.write_bytes(file.read_bytes())
    again = within("import", "tracking", str(copy), str(file))
    assert again.code == 0
    assert again.err.count("22 rows received: 0 accepted, 20 already known, 2 rejected") == 2
    assert within("status").out == day


def test_rejected_rows_are_listed_mended_and_replayed(tmp_path: Path, within: Call) -> None:
    file = clicks(tmp_path / "clicks.csv", 3, bad=2)
    within("import", "tracking", str(file))
    table = within("rejected", "list").out.splitlines()
    assert table[0].split("  ")[0] == "ingest day"
    assert [line.split(maxsplit=4)[1:] for line in table[2:]] == [
        ["tracking", str(file), position, "job_id is not an integer"] for position in ("5", "6")
    ]
    mended = tmp_path / "mended.csv"
    mended.write_text(within("rejected", "list", "--format", "csv").out.replace(",one,", ",1,", 1), newline="")
    replayed = within("rejected", "replay", str(mended))
    assert replayed.code == 0
    assert "1 replayed, 0 already known, 1 still rejected" in replayed.err
    assert f"{file}, position 6: job_id is not an integer" in replayed.err
    left = [json.loads(line) for line in within("rejected", "list", "--format", "jsonl").out.splitlines()]
    assert [row["position"] for row in left] == [6]
    again = within("rejected", "replay", str(mended))
    assert (again.code, "0 replayed, 1 already known, 1 still rejected" in again.err) == (0, True)
    assert within("status", "--from", "2025-06-02", "--to", "2025-06-02").out.splitlines()[2].split()[2] == "4"


def test_a_replay_of_which_nothing_can_be_used_fails(tmp_path: Path, within: Call) -> None:
    within("import", "tracking", str(clicks(tmp_path / "clicks.csv", 1, bad=1)))
    unmended = tmp_path / "unmended.csv"
    unmended.write_text(within("rejected", "list", "--format", "csv").out, newline="")
    outcome = within("rejected", "replay", str(unmended))
    assert outcome.code == 2
    assert "no row could be taken in" in outcome.err


def test_rejected_rows_can_be_listed_by_table(tmp_path: Path, within: Call) -> None:
    within("import", "tracking", str(clicks(tmp_path / "clicks.csv", 1, bad=1)))
    assert within("rejected", "list", "--table", "job").out == ""
    assert "job_id is not an integer" in within("rejected", "list", "--table", "tracking").out


def test_as_of_is_the_instant_from_which_jobs_hold(tmp_path: Path, home: Path, within: Call) -> None:
    file = jobs(tmp_path / "job.csv")
    outcome = within("import", "job", str(file), "--as-of", "2025-01-01T07:00+07:00")
    assert outcome.code == 0
    assert "dim_jobs as of 2025-01-01 00:00:00 UTC: 1 rows" in outcome.err
    file.write_text(file.read_text().replace("Cook", "Chef"))
    within("import", "job", str(file), "--as-of", "2025-02-01")
    _, rows = open_relational(home / "operational.sqlite").dim_jobs()
    versions = [(row["title"], row["valid_to"] and f"{row['valid_to']:%Y-%m-%d %H:%M}") for row in rows.to_pylist()]
    assert versions == [("Cook", "2025-02-01 00:00"), ("Chef", None)]
    older = within("import", "job", str(file), "--as-of", "2025-01-15")
    assert older.code == 2
    assert "2025-01-15" in older.err
    assert within("import", "job", str(file), "--as-of", "noon").code == 2
