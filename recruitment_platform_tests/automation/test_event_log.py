"""Within a run, Dagster's event log keeps its connections; what it holds, and when, is the same."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from recruitment_platform.automation.event_log import connected
from recruitment_platform.automation.instance import open_instance, seen_instance
from recruitment_platform.automation.run import run_partitions
from recruitment_platform.settings import Settings
from recruitment_platform_tests.runs import a_site, day, settings_of

DAYS = 12
PARTITIONS = dg.DailyPartitionsDefinition("2024-03-01")
RANGE = {
    "dagster/asset_partition_range_start": "2024-03-01",
    "dagster/asset_partition_range_end": str(day(0) + timedelta(days=DAYS - 1)),
}


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The files of event logs that were opened, once for each time."""
    files: list[str] = []

    def note(connection: sa.Connection, *arguments: object) -> None:
        [(_, _, file)] = connection.execute("PRAGMA database_list").fetchall()
        if Path(file).parent.name == "runs":
            files.append(Path(file).name)

    sa.event.listen(sa.Pool, "connect", note)
    yield files
    sa.event.remove(sa.Pool, "connect", note)


def a_range(settings: Settings, around: AbstractContextManager[None], instance: dg.DagsterInstance) -> str:
    """Materializes a range, each day with a materialization of its own, which others see at once; the run's id."""

    @dg.multi_asset(
        specs=[dg.AssetSpec("days", skippable=True)],
        partitions_def=PARTITIONS,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def days(context: dg.AssetExecutionContext) -> None:
        for number, key in enumerate(context.partition_keys, start=1):
            context.log_event(dg.AssetMaterialization("days", partition=key, metadata={"number": number}))
            with seen_instance(settings) as seen:
                assert seen is not None
                assert len(seen.get_materialized_partitions(dg.AssetKey("days"))) == number

    definitions = dg.Definitions(assets=[days], jobs=[dg.define_asset_job("range", [days])])
    with around:
        result = definitions.resolve_job_def("range").execute_in_process(instance=instance, tags=RANGE)
    assert result.success
    return result.run_id


def test_a_run_leaves_the_same_events_as_without(tmp_path: Path) -> None:
    told = []
    for name in ("by itself", "connected"):
        settings = Settings(home=tmp_path / name)
        with open_instance(settings) as instance:
            around = connected(instance) if name == "connected" else nullcontext()
            run_id = a_range(settings, around, instance)
        with open_instance(settings) as instance:
            events = [
                (entry.dagster_event_type, entry.step_key, entry.dagster_event and entry.dagster_event.partition)
                for entry in instance.all_logs(run_id)
            ]
            materialized = instance.fetch_materializations(dg.AssetKey("days"), limit=DAYS, ascending=True).records
            run = instance.get_run_by_id(run_id)
            assert run is not None
            told.append(
                (
                    events,
                    [(one.partition_key, one.asset_materialization) for one in materialized],
                    run.status,
                    len(list((settings.dagster_home / "history" / "runs").glob("*.db-wal"))),
                )
            )
    assert told[0] == told[1]
    assert len(told[0][1]) == DAYS


def test_a_run_of_many_days_opens_the_event_log_no_more_often_than_one_of_a_day(
    tmp_path: Path, opened: list[str]
) -> None:
    site = a_site(tmp_path, 4)
    settings = settings_of(site)
    with open_instance(settings) as instance:
        found = []
        for last in (day(0), day(0), day(3)):  # the first run of a home makes its tables
            opened.clear()
            assert run_partitions(instance, settings, day(0), last).success
            found.append(len(opened))
    assert found[2] == found[1] < found[0]


def test_another_storage_is_left_as_it_is() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        before = dict(vars(instance.event_log_storage))
        with connected(instance):
            assert dict(vars(instance.event_log_storage)).keys() == before.keys()
