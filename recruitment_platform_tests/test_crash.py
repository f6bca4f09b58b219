"""Killed at any step and run again, two at once, the older one last: what is published is always one whole state.

Each test starts from a copy of one home: two days are published, then a job changes and more events come in, so that a
run has everything to do: new dimensions, new snapshots, new facts, and superseded files to remove.
"""

import multiprocessing
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from recruitment_platform.automation.instance import open_instance
from recruitment_platform.automation.run import RunOutcome, run_partitions
from recruitment_platform.definitions import build_definitions
from recruitment_platform.model.operational import parse_row
from recruitment_platform.pipeline.dimensions import current_dimensions
from recruitment_platform.pipeline.status import day_statuses
from recruitment_platform_tests.operations import Watcher, killing, watched_stores
from recruitment_platform_tests.runs import a_site, day, settings_of
from recruitment_platform_tests.site import JOBS, Site, click

# Children are forked from a server that has imported all of this once: they need not do so each.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])

DAYS = 2
AT_ONCE = timedelta(0)
AS_OF = datetime(2024, 3, 2, 12, tzinfo=UTC)
BETWEEN = [day(number) for number in range(DAYS)]

OPERATIONS = (
    "relational.refresh_dim_jobs",
    "relational.dim_jobs",
    "relational.dim_publishers",
    "objects.put_file dim_jobs/",
    "objects.put_file dim_publishers/",
    "objects.put_if_absent dim_jobs/manifests/",
    "lake.ids_on_two_days",
    "lake.scan",
    "objects.put_file raw_tracking/",
    "objects.put_if_absent raw_tracking/manifests/",
    "engine.run",
    "objects.put_file job_hourly_events/",
    "objects.put_if_absent job_hourly_events/candidates/",
    "warehouse.closed_through",
    "objects.put_if_absent s3_staged_events/manifests/",
    "warehouse.replace_dimension dim_jobs",
    "warehouse.replace_dimension dim_publishers",
    "warehouse.load_day",
    "warehouse.totals",
    "relational.replace_events",
    "objects.delete",
)
"""All that a run does to the stores, in the order in which it first does it."""

READS = (
    "relational.dim_jobs",
    "relational.dim_publishers",
    "lake.ids_on_two_days",
    "lake.scan",
    "warehouse.closed_through",
    "warehouse.totals",
)
KILLS = (
    ("before", "lake.scan"),
    *(("after", operation) for operation in OPERATIONS if operation not in READS),
)
"""Before an operation a run is where it was after the one that comes before it, or before that, if it only reads."""


@dataclass(frozen=True)
class State:
    """What a home publishes."""

    digests: dict[str, str]
    facts: pa.Table
    events: pa.Table
    dimensions: str


def state(site: Site) -> State:
    dimensions = current_dimensions(site.objects)
    return State(
        digests={str(found): row.digest for found, row in site.warehouse.ledger().items()},
        facts=site.warehouse.facts(BETWEEN[0], BETWEEN[-1]),
        events=site.relational.events(BETWEEN[0], BETWEEN[-1]),
        dimensions=dimensions.digest if dimensions else "",
    )


def unwatched(moment: str, operation: str) -> None:
    """Lets everything pass."""


def materialize(home: Path, watcher: Watcher = unwatched, **more: Any) -> RunOutcome:
    """Runs the two days, on the stores as they are watched."""
    with dg.DagsterInstance.ephemeral() as instance:
        return materialize_in(instance, home, watcher, **more)


def materialize_in(
    instance: dg.DagsterInstance, home: Path, watcher: Watcher = unwatched, as_of: datetime = AS_OF, **settings: Any
) -> RunOutcome:
    site = Site(home)
    chosen = settings_of(site, **settings)
    definitions = build_definitions(chosen, watched_stores(site, watcher))
    return run_partitions(instance, chosen, BETWEEN[0], BETWEEN[-1], as_of=as_of, definitions=definitions)


def materialize_and_die(home: Path, moment: str, operation: str) -> None:
    """For a process of its own."""
    materialize(home, killing(moment, operation), keep_superseded=AT_ONCE)


def materialize_persistently_and_die(home: Path, moment: str, operation: str) -> None:
    """For a process of its own, with the home's Dagster instance."""
    with open_instance(settings_of(Site(home))) as instance:
        materialize_in(instance, home, killing(moment, operation))


def succeed(home: Path) -> None:
    """For a process of its own."""
    assert materialize(home).success


def ended(function: Callable[..., None], *arguments: tuple[object, ...]) -> list[int | None]:
    """Calls the function with each of the arguments, each in a process of its own, all at once; how they ended."""
    processes = [CONTEXT.Process(target=function, args=given) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    site = a_site(home, DAYS)
    assert materialize(home, as_of=AS_OF - timedelta(days=1)).success
    site.relational.upsert("job", [parse_row("job", {**JOBS[0], "title": "Chef", "company_id": "102"})])
    send_more(site, "more")
    return home


def send_more(site: Site, name: str) -> None:
    site.send([click(datetime(2024, 3, 1 + n, 23, tzinfo=UTC), 700) for n in range(DAYS)], f"test:{name}")


@pytest.fixture(scope="module")
def expected(template: Path, tmp_path_factory: pytest.TempPathFactory) -> State:
    home = copied(template, tmp_path_factory.mktemp("expected"))
    assert materialize(home).success
    return state(Site(home))


def copied(template: Path, folder: Path) -> Path:
    return Path(shutil.copytree(template, folder / "home"))


def assert_whole(site: Site, old: State, new: State) -> None:
    """Each day in the table is that of the former run or of the new one, and what the ledger says it is."""
    found = state(site)
    for key in old.digests:
        source = next(one for one in (old, new) if one.digests[key] == found.digests[key])
        assert of_day(found.facts, key) == of_day(source.facts, key)
        assert of_day(found.events, key) in (of_day(old.events, key), of_day(new.events, key))


def of_day(facts: pa.Table, key: str) -> list[dict[str, object]]:
    return [row for row in facts.to_pylist() if str(row["dates"]) == key]


def test_these_are_all_operations_of_a_run(template: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    home = copied(template, tmp_path)
    assert materialize(home, lambda moment, operation: seen.append(operation), keep_superseded=AT_ONCE).success
    assert tuple(dict.fromkeys(seen)) == OPERATIONS


@pytest.mark.parametrize(("moment", "operation"), KILLS)
def test_killed_at_any_step_and_run_again_it_ends_as_if_nothing_had_happened(
    template: Path, expected: State, tmp_path: Path, moment: str, operation: str
) -> None:
    home = copied(template, tmp_path)
    former = state(Site(home))
    assert ended(materialize_and_die, (home, moment, operation)) == [-signal.SIGKILL]

    assert_whole(Site(home), former, expected)
    assert materialize(home, keep_superseded=AT_ONCE).success
    assert state(Site(home)) == expected


def test_a_killed_run_of_the_command_line_is_shown_as_failed_and_holds_up_nobody(
    template: Path, expected: State, tmp_path: Path
) -> None:
    home = copied(template, tmp_path)
    assert ended(materialize_persistently_and_die, (home, "after", "engine.run")) == [-signal.SIGKILL]
    with open_instance(settings_of(Site(home))) as instance:
        (daily,) = instance.get_runs(dg.RunsFilter(job_name="daily_facts"))
        assert daily.status == dg.DagsterRunStatus.FAILURE
        assert materialize_in(instance, home).success
    assert state(Site(home)) == expected


def test_two_runs_of_the_same_days_at_once_publish_one_whole_state(
    template: Path, expected: State, tmp_path: Path
) -> None:
    home = copied(template, tmp_path)
    assert ended(succeed, (home,), (home,)) == [0, 0]
    assert state(Site(home)) == expected


@pytest.mark.parametrize(
    ("moment", "operation"),
    [
        ("after", "objects.put_if_absent raw_tracking/manifests/"),
        ("after", "engine.run"),
        ("before", "warehouse.load_day"),
    ],
)
def test_of_two_runs_the_older_one_ends_last_and_leaves_the_newest_snapshot_in_force(
    template: Path, tmp_path: Path, moment: str, operation: str
) -> None:
    home = copied(template, tmp_path)
    site = Site(home)
    newer: list[State] = []

    def overtaken(at: str, of: str) -> None:
        """At that moment more events come in, and another run takes them through to the fact table."""
        if (at, of) == (moment, operation) and not newer:
            send_more(site, "overtaking")
            assert ended(succeed, (home,)) == [0]
            newer.append(state(site))

    assert materialize(home, overtaken).success
    assert [state(site)] == newer
    statuses = day_statuses(site.lake, site.objects, site.warehouse, day(DAYS), BETWEEN[0], BETWEEN[-1])
    assert [found.state for found in statuses] == ["published"] * DAYS
