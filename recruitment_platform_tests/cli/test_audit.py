"""`audit` and `status --stale`: what is told of a day, and the exit code where something does not hold."""

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from recruitment_platform.resources.stores import open_event_lake
from recruitment_platform.settings import Settings
from recruitment_platform_tests.cli.command_line import Call, assert_clear, call
from recruitment_platform_tests.cli.exports import START, clicks, jobs
from recruitment_platform_tests.pipeline.tampering import change_lake
from recruitment_platform_tests.site import time_uuid

DAY = "2025-06-02"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export of six clicks and a bad row, and the home into which it was imported and run."""
    folder = tmp_path_factory.mktemp("ran")
    imports = (("job", jobs(folder / "job.csv")), ("tracking", clicks(folder / "clicks.csv", 6, bad=1)))
    for table, file in imports:
        assert call(folder / "home", "import", table, str(file)).code == 0
    assert call(folder / "home", "run", "--from", DAY, "--to", DAY, RECRUITMENT_ENGINE="duckdb").code == 0
    return folder


@pytest.fixture
def export(ran: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The export, the home being a copy of that one."""
    monkeypatch.setenv("RECRUITMENT_ENGINE", "duckdb")
    shutil.copytree(ran / "home", home)
    return ran / "clicks.csv"


def tables(out: str) -> dict[str, list[list[str]]]:
    """The rows of each titled table."""
    found = {}
    for part in out.split("\n\n")[1:]:
        title, _, _, *rows = part.splitlines()
        found[title.partition(":")[0]] = [row.split() for row in rows]
    return found


def change(export: Path, statement: str) -> None:
    lake = open_event_lake(Settings.from_environment())
    (source,) = (state.source for state in lake.sources())
    change_lake(lake, date.fromisoformat(DAY), source, statement)  # type: ignore[arg-type]


def test_a_day_is_explained_in_a_few_tables(export: Path, within: Call) -> None:
    told = within("audit", DAY)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"{DAY}: snapshot 1, taken ")
    shown = tables(told.out)
    assert list(shown) == [
        "Sources",
        "By source and kind",
        "What must be equal",
        "Rejected rows of these sources, whatever day they would be of",
        "To know of",
        "Loads, and what each changed",
    ]
    (source,) = shown["Sources"]
    assert source[1:] == ["6", "2", "to", "7", "7", "6", "1", "yes", str(export)]
    assert shown["By source and kind"][0][1:] == ["click", "6", "6", "0", "0", "1.50", "yes"]
    assert ["spend,", "USD", "1.50", "1.50", "1.50", "1.50", "1.50", "yes"] in shown["What must be equal"]
    (load,) = shown["Loads, and what each changed"]
    assert load[2:-2] == ["1", "1", "6", "1.50", "+1", "+6", "+1.50", "first", "load", "1"]


def test_late_events_are_told_before_and_after_the_load_that_brings_them(
    export: Path, tmp_path: Path, within: Call
) -> None:
    late = clicks(tmp_path / "late.csv", 2, start=START + timedelta(hours=3))
    assert within("import", "tracking", str(late)).code == 0
    before = within("audit", DAY)
    assert (before.code, "2 rows in the lake are not in snapshot 1" in before.out) == (0, True)
    assert within("run", "--from", DAY, "--to", DAY).code == 0
    loads = tables(within("audit", DAY).out)["Loads, and what each changed"]
    assert [load[2:9] for load in loads] == [
        ["1", "1", "6", "1.50", "+1", "+6", "+1.50"],
        ["2", "2", "8", "2.00", "+1", "+2", "+0.50"],
    ]
    document = json.loads(within("audit", DAY, "--format", "json").out)
    assert document["holds"]
    assert [load["spend_micros_change"] for load in document["loads"]] == [1_500_000, 500_000]
    assert {source["paths"][0] for source in document["sources"]} == {str(export), str(late)}


def test_what_does_not_hold_is_told_after_all_tables_by_the_exit_code(export: Path, within: Call) -> None:
    change(export, "FROM rows WHERE position <> 4")
    told = within("audit", DAY)
    assert told.code == 4
    assert tables(told.out)["Loads, and what each changed"]
    assert ["accepted", "5", "6", "NO"] in tables(told.out)["What must be equal"]
    (line,) = told.err.splitlines()
    assert line.startswith(f"error: {DAY} does not add up: file:")
    assert line.endswith("the lake holds 5 rows of the day, 6 were written, and 4 more")
    document = json.loads(within("audit", DAY, "--format", "json").out)
    assert (document["holds"], len(document["problems"])) == (False, 5)


def test_a_fact_table_that_is_not_what_was_loaded_is_told(export: Path, home: Path, within: Call) -> None:
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("UPDATE redshift_fact_events SET clicks = 7")
    told = within("audit", DAY)
    assert (told.code, ["click", "6", "6", "6", "6", "7", "NO"] in tables(told.out)["What must be equal"]) == (4, True)


def test_sources_read_again_tell_lost_and_invented_rows_by_their_ids(export: Path, within: Call) -> None:
    sound = within("audit", DAY, "--source")
    assert (sound.code, sound.err) == (0, "")
    assert tables(sound.out)["Rows of the day, in the sources and in the lake"][0][1:] == ["6", "6", "yes", str(export)]
    moved = "SELECT * REPLACE (9 AS position) FROM rows WHERE position = 3"
    change(export, f"{moved} UNION ALL FROM rows WHERE position > 3")
    told = within("audit", DAY, "--source")
    assert told.code == 4
    lost, same = (time_uuid(START + timedelta(seconds=5 * number), number) for number in (0, 1))
    assert [row[1:] for row in tables(told.out)["Rows that differ, the first 10 of each source and kind"]] == [
        ["missing", lost, "2"],
        ["missing", same, "3"],
        ["extra", same, "9"],
    ]
    assert json.loads(within("audit", DAY, "--source", "--format", "json").out)["sources"][0]["missing"] == 2


def test_a_source_that_was_moved_away_is_told_and_is_no_failure(
    export: Path, ran: Path, tmp_path: Path, within: Call
) -> None:
    away = tmp_path / "away.csv"
    export.rename(away)
    try:
        told = within("audit", DAY, "--source")
    finally:
        away.rename(export)
    assert told.code == 0
    assert f"could not be read again: gone or changed: {export}: there is no such file" in " ".join(told.err.split())
    assert tables(told.out)["Rows of the day, in the sources and in the lake"][0][1:] == ["6", "not", "read"]


def test_a_day_that_cannot_be_explained_is_one_clear_line(export: Path, within: Call) -> None:
    assert_clear(within("audit", "2019-12-31"), 2, "2019-12-31 is before the first day, 2020-01-01")
    assert_clear(within("audit", "2999-01-01"), 2, "2999-01-01 has not begun; today is")
    assert_clear(within("audit", "2025-06-01"), 2, "never had a snapshot", "run --from 2025-06-01 --to 2025-06-01")
    assert_clear(within("audit", "yesterday"), 2, "'yesterday' is no day")
    none = within("audit", "2025-06-01", "--source")
    assert (none.code, none.out, none.err) == (0, "", "the lake has no event of 2025-06-01\n")


def test_stale_days_are_listed_with_their_reasons(export: Path, tmp_path: Path, within: Call) -> None:
    none = within("status", "--stale")
    assert (none.code, none.out, none.err) == (0, "", "no day is stale\n")
    within("import", "tracking", str(clicks(tmp_path / "late.csv", 2, start=START + timedelta(hours=3))))
    (line,) = within("status", "--stale").out.splitlines()[2:]
    assert line.split()[:2] == [DAY, "stale"]
    assert "events came in after it was loaded" in line
