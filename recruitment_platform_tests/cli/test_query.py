"""`query`: what programs read from stdout is exact, whole, and nothing else."""

import csv
import io
import json
import subprocess
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from recruitment_platform.pipeline.dimensions import load_dimensions
from recruitment_platform.pipeline.facts import compute_facts
from recruitment_platform.pipeline.publish import load_day, stage_day
from recruitment_platform.pipeline.snapshot import take_snapshots
from recruitment_platform.transforms.engines import DuckDBEngine
from recruitment_platform_tests.cli.command_line import MODULE, Call, assert_clear, environment
from recruitment_platform_tests.site import Site, click

DAY = date(2025, 6, 2)

VALUES = """
select 1::tinyint as small, 9007199254740993 as big, null::int as nothing, 0.100000::decimal(18,6) as money,
       0::decimal(18,6) as zero, sum(2) as total, date '2025-06-02' as day,
       timestamptz '2025-06-02 10:00:00.5+00' as at, 'é, "x"' || chr(10) || 'y' as text, '' as empty, true as yes,
       [1, 2] as list, 'nan'::double as nan
"""


@pytest.fixture(scope="module")
def loaded_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one loaded day, for tests that only read."""
    site = Site(tmp_path_factory.mktemp("loaded"))
    site.employ()
    site.send([click("2025-06-02 10:00", 1), click("2025-06-02 11:00", 2, bid="1.5")])
    list(take_snapshots(site.lake, site.objects, [DAY], time_zone="UTC", run_id="run"))
    list(compute_facts(site.objects, DuckDBEngine(), [DAY], lake_name=site.lake.name, run_id="run"))
    stage_day(site.objects, DAY, "run")
    load_dimensions(site.objects, site.warehouse)
    load_day(site.objects, site.warehouse, DAY, "run")
    return site.home


@pytest.fixture
def ask(loaded_home: Path, within: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`query` in the loaded home."""
    monkeypatch.setenv("RECRUITMENT_HOME", str(loaded_home))
    return partial(within, "query")


def test_csv_has_a_header_and_reads_back_as_it_was(ask: Call) -> None:
    found = ask("--format", "csv", VALUES)
    assert (found.code, found.err) == (0, "")
    assert found.out.count("\r\n") == 2
    (row,) = csv.DictReader(io.StringIO(found.out, newline=""))
    assert row == {
        "small": "1",
        "big": "9007199254740993",
        "nothing": "",
        "money": "0.100000",
        "zero": "0.000000",
        "total": "2",
        "day": "2025-06-02",
        "at": "2025-06-02T10:00:00.500000+00:00",
        "text": 'é, "x"\ny',
        "empty": "",
        "yes": "true",
        "list": "[1, 2]",
        "nan": "nan",
    }


def test_json_keeps_numbers_exact_and_null_apart(ask: Call) -> None:
    found = ask("--format", "json", VALUES)
    assert (found.code, found.err) == (0, "")
    assert json.loads(found.out) == [
        {
            "small": 1,
            "big": 9007199254740993,
            "nothing": None,
            "money": "0.100000",
            "zero": "0.000000",
            "total": 2,
            "day": "2025-06-02",
            "at": "2025-06-02T10:00:00.500000+00:00",
            "text": 'é, "x"\ny',
            "empty": "",
            "yes": True,
            "list": [1, 2],
            "nan": "nan",
        }
    ]


def test_a_table_is_aligned_never_cut_and_one_line_a_row(ask: Call) -> None:
    found = ask("select 5 as n, repeat('x', 300) as long union all select 12345, '日本' || chr(10) || 'z'")
    header, rule, first, second = found.out.splitlines()
    assert header.split() == ["n", "long"]
    assert set(rule) == {"─", " "}
    assert first == "    5  " + "x" * 300
    assert second == "12345  日本 z"


@pytest.mark.parametrize(("style", "written"), [("csv", "n\r\n"), ("json", "[]\n"), ("table", "n\n─\n")])
def test_no_rows_are_written_as_such(ask: Call, style: str, written: str) -> None:
    assert ask("--format", style, "select 1 as n where false").out == written


def test_the_tables_are_those_that_help_names(ask: Call) -> None:
    described = ask("--help").out
    for table in ("redshift_fact_events", "dim_jobs", "dim_publishers", "load_ledger", "job_performance"):
        assert table in described
        assert ask(f"select count(*) as n from {table}").code == 0
    found = ask("--format", "csv", "select sum(clicks) as clicks, sum(spend_hour) as spend from job_performance")
    assert found.out == "clicks,spend\r\n2,1.750000\r\n"


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("selec 1", "syntax"),
        ("select * from nowhere", "nowhere"),
        ("drop table load_ledger", "only one statement that reads"),
        ("select 1; select 2", "only one statement that reads"),
        ("select * from read_csv('/etc/passwd')", "disabled"),
        ("", "only one statement that reads"),
    ],
)
def test_what_is_no_question_is_refused_and_changes_nothing(ask: Call, sql: str, word: str) -> None:
    assert_clear(ask(sql), 2, word)
    assert ask("--format", "csv", "select count(*) as n from load_ledger").out == "n\r\n1\r\n"


def test_columns_of_one_name_are_refused_where_one_would_be_lost(ask: Call) -> None:
    assert_clear(ask("--format", "json", "select 1 as a, 2 as a"), 2, "two columns are named a")
    assert ask("--format", "csv", "select 1 as a, 2 as a").out == "a,a\r\n1,2\r\n"


def test_before_anything_is_loaded_the_way_on_is_told(home: Path, within: Call) -> None:
    assert_clear(within("query", "select 1"), 2, "nothing in")
    assert not home.exists()
    Site(home)
    assert_clear(within("query", "select 1"), 2, "nothing is loaded yet")


MANY_ROWS = ("query", "--format", "csv", "select * from range(20000)")


def test_stdout_that_cannot_be_written_is_told(loaded_home: Path) -> None:
    command = [*MODULE, "query", "select 1"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=environment(loaded_home, {}), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["error: what is written: No space left on device; make room there"]


def test_a_reader_that_has_ended_is_no_failure(loaded_home: Path) -> None:
    with subprocess.Popen(
        [*MODULE, *MANY_ROWS], env=environment(loaded_home, {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"range\r\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
