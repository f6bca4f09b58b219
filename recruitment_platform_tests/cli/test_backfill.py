"""`backfill`: what it would do, what it does, and what becomes of days that fail or are in flight."""

import signal
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from recruitment_platform.automation.in_flight import RANGE_END_TAG, RANGE_START_TAG
from recruitment_platform.automation.instance import PROCESS_TAG, open_instance
from recruitment_platform.definitions import build_definitions
from recruitment_platform_tests.cli.command_line import MODULE, Call, Outcome, environment
from recruitment_platform_tests.runs import a_site, day, settings_of
from recruitment_platform_tests.site import Site, click

DAYS = 5
RANGE = ("--from", str(day(0)), "--to", str(day(DAYS - 1)))


@pytest.fixture
def site(home: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A home with the events of some days, none of which was run."""
    monkeypatch.setenv("RECRUITMENT_ENGINE", "duckdb")
    return a_site(home, DAYS)


def listed(outcome: Outcome) -> dict[str, str]:
    """What a dry run lists: of each day its state, its run and why."""
    assert outcome.code == 0, outcome
    lines = [line.split(maxsplit=1) for line in outcome.out.splitlines()[2:]]
    return {found: " ".join(rest.split()) for found, rest in lines}


def begun(outcome: Outcome) -> list[str]:
    """The runs, as they were told when they began."""
    return [line for line in outcome.err.splitlines() if line.startswith("run ")]


def ranges_run(site: Site) -> list[tuple[str, str]]:
    """First and last day of the runs of days, in the order in which they were run."""
    with open_instance(settings_of(site)) as instance:
        records = instance.get_run_records(dg.RunsFilter(job_name="daily_facts"))
    tags = [record.dagster_run.tags for record in sorted(records, key=lambda record: record.start_time or 0)]
    return [(found[RANGE_START_TAG], found[RANGE_END_TAG]) for found in tags]


def tree(home: Path) -> Mapping[Path, tuple[int, bytes] | None]:
    """Every file, when it was changed and what is in it; every folder, which SQLite's readers change for a moment."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) if path.is_file() else None for path in home.rglob("*")}


@pytest.mark.parametrize("has_run", [False, True])
def test_a_dry_run_lists_what_would_be_done_and_changes_nothing(site: Site, within: Call, has_run: bool) -> None:
    if has_run:
        assert within("run", "--from", str(day(1)), "--to", str(day(2))).code == 0
    else:
        (site.home / "operational.sqlite").unlink()
    before = tree(site.home)
    found = within("backfill", *RANGE, "--chunk", "2", "--dry-run")
    assert tree(site.home) == before
    state = "published" if has_run else "missing"
    assert listed(found) == {
        "2024-03-05": "missing 1 of 3",
        "2024-03-04": "missing 1 of 3",
        "2024-03-03": f"{state} 2 of 3",
        "2024-03-02": f"{state} 2 of 3",
        "2024-03-01": "missing 3 of 3",
    }
    assert found.err == "5 days in 3 runs, the newest first\n"


@pytest.mark.parametrize("has_home", [False, True])
def test_where_there_is_no_lake_a_dry_run_makes_none(home: Path, within: Call, has_home: bool) -> None:
    if has_home:
        home.mkdir()
    found = within("backfill", *RANGE, "--dry-run")
    assert (found.code, "begin with" in found.err, home.exists()) == (2, True, has_home)
    assert not has_home or list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "options", "runs"),
    [
        ("", (), [5]),
        ("0", (), [5]),
        ("3", (), [3, 2]),
        ("3", ("--chunk", "4"), [4, 1]),
        ("3", ("--chunk", "0"), [5]),
    ],
)
def test_the_option_goes_before_the_setting(
    site: Site,
    within: Call,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    options: tuple[str, ...],
    runs: list[int],
) -> None:
    if setting:
        monkeypatch.setenv("RECRUITMENT_DAYS_PER_RUN", setting)
    found = [told.split()[1] for told in listed(within("backfill", *RANGE, *options, "--dry-run")).values()]
    assert [found.count(str(number)) for number in range(1, len(runs) + 1)] == runs


def test_days_are_run_in_chunks_the_newest_first_after_one_refresh_of_dim_jobs(
    site: Site, within: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECRUITMENT_DAYS_PER_RUN", "3")
    done = within("backfill", *RANGE)
    assert (done.code, done.out) == (0, ""), done
    assert begun(done) == [
        "run 1 of 2: 2024-03-03 to 2024-03-05 on duckdb",
        "run 2 of 2: 2024-03-01 to 2024-03-02 on duckdb",
    ]
    assert ranges_run(site) == [("2024-03-03", "2024-03-05"), ("2024-03-01", "2024-03-02")]
    assert done.err.splitlines()[-1] == "5 days are published, in 2 runs"
    assert done.err.count("dim_jobs: version ") == 1
    assert {found: totals.clicks for found, totals in site.warehouse.totals(site.warehouse.ledger()).items()} == {
        day(n): 3 for n in range(DAYS)
    }


def test_a_run_that_fails_stops_no_other_and_its_days_are_named_at_the_end(site: Site, within: Call) -> None:
    with closing(sqlite3.connect(site.home / "lake" / "catalog.sqlite")) as connection, connection:
        connection.execute("update day_state set rows = rows + 1 where event_date = ?", (str(day(3)),))
    done = within("backfill", *RANGE, "--chunk", "2")
    assert done.code == 4, done
    assert [line.split(":")[0] for line in begun(done)] == ["run 1 of 3", "run 2 of 3", "run 3 of 3"]
    told = done.err.splitlines()
    assert told[-2] == "error: 1 of 5 days failed"
    assert told[-1].startswith("2024-03-04: ")
    assert sorted(site.warehouse.ledger()) == [day(0), day(1), day(2), day(4)]
    assert listed(within("backfill", *RANGE, "--only", "failed", "--dry-run"))["2024-03-04"].startswith(
        "failed 1 of 1 "
    )


def test_only_days_that_late_events_made_stale_are_run_again(site: Site, within: Call) -> None:
    assert within("backfill", *RANGE).code == 0
    before = site.warehouse.ledger()
    for number in (0, 1, 4):
        site.send([click(f"2024-03-0{1 + number} 22:00", 500)], "test:late")
    assert list(listed(within("backfill", *RANGE, "--only", "stale", "--dry-run"))) == [
        "2024-03-05",
        "2024-03-02",
        "2024-03-01",
    ]
    assert "no day is left to be run" in within("backfill", *RANGE, "--only", "missing", "--only", "failed").err
    assert within("backfill", *RANGE, "--only", "stale").code == 0
    assert ranges_run(site)[1:] == [("2024-03-05", "2024-03-05"), ("2024-03-01", "2024-03-02")]
    after = site.warehouse.ledger()
    assert [n for n in range(DAYS) if after[day(n)] != before[day(n)]] == [0, 1, 4]


def of_assets(instance: dg.DagsterInstance, site: Site, of: date) -> PartitionBackfill:
    """A backfill of an asset, rather than of the job, whose runs are not there yet."""
    graph = build_definitions(settings_of(site)).resolve_asset_graph()
    facts = AssetKeyPartitionKey(dg.AssetKey("redshift_fact_events"), str(of))
    return PartitionBackfill.from_asset_graph_subset(
        backfill_id="of assets",
        asset_graph_subset=AssetGraphSubset.from_asset_partition_set({facts}, graph),
        dynamic_partitions_store=instance,
        backfill_timestamp=0.0,
        tags={},
        title=None,
        description=None,
        run_config=None,
    )


def test_days_in_flight_are_named_and_left_to_whom_has_them(site: Site, within: Call) -> None:
    waiting, begun_once, gone = (
        dg.DagsterRun(job_name="daily_facts", status=status, tags=tags)
        for status, tags in (
            (dg.DagsterRunStatus.NOT_STARTED, {RANGE_START_TAG: str(day(0)), RANGE_END_TAG: str(day(1))}),
            (dg.DagsterRunStatus.STARTED, {"dagster/partition": str(day(3))}),
            (dg.DagsterRunStatus.STARTED, {"dagster/partition": str(day(4)), PROCESS_TAG: "ended"}),
        )
    )
    requested = PartitionBackfill(
        backfill_id="asked",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=0.0,
        partition_names=[str(day(1)), str(day(2))],
    )
    with open_instance(settings_of(site)) as instance:
        for run in (waiting, begun_once, gone):
            instance.add_run(run)
        instance.add_backfill(requested)
        instance.add_backfill(of_assets(instance, site, day(-1)))
    in_flight = {
        "2024-03-04": f"run {begun_once.run_id}",
        "2024-03-03": "backfill asked",
        "2024-03-02": f"run {waiting.run_id}",
        "2024-03-01": f"run {waiting.run_id}",
        "2024-02-29": "backfill of assets",
    }
    before = tree(site.home)
    longer = ("--from", str(day(-1)), "--to", str(day(DAYS - 1)))
    assert listed(within("backfill", *longer, "--dry-run")) == {
        "2024-03-05": "missing 1 of 1",
        **{
            found: f"{'missing' if found >= str(day(0)) else 'not expected'} none in flight: {who}"
            for found, who in in_flight.items()
        },
    }
    assert tree(site.home) == before
    done = within("backfill", *longer)
    assert done.code == 0, done
    for found, who in in_flight.items():
        assert f"{found}: left to {who}, which has it in flight" in done.err
    assert list(site.warehouse.ledger()) == [day(4)]


def test_ctrl_c_keeps_the_runs_that_have_ended_and_begins_no_other(site: Site, within: Call) -> None:
    with subprocess.Popen(
        [*MODULE, "backfill", *RANGE, "--chunk", "2"],
        env=environment(site.home, {"RECRUITMENT_ENGINE": "duckdb"}),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            if line.startswith("run 2 of 3"):
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130, told
    left = {1: "2024-03-02 to 2024-03-03, 2024-03-01", 2: "2024-03-01"}
    # Where this process is slow to say so, the second run has ended.
    assert {f"{ended} of 3 runs have ended; left are {days}\n" for ended, days in left.items()} & {*told}, told
    assert told[-1].startswith("error: interrupted"), told
    assert {day(3), day(4)} <= set(site.warehouse.ledger())
    assert day(0) not in site.warehouse.ledger()
    assert within("backfill", *RANGE, "--only", "missing").code == 0
    assert sorted(site.warehouse.ledger()) == [day(n) for n in range(DAYS)]
