"""Runs of a test's site through Dagster, and what they told.

What belongs here: starting runs on the DuckDB engine, reading their events. What does not: the site (`site`).
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from recruitment_platform.automation.run import RunOutcome, run_partitions
from recruitment_platform.definitions import build_definitions
from recruitment_platform.partitions import daily_partitions
from recruitment_platform.settings import Settings
from recruitment_platform_tests.site import Site, click, event

FIRST = date(2024, 3, 1)


def settings_of(site: Site, **more: Any) -> Settings:
    """The settings of the site's home, DuckDB as engine unless said otherwise."""
    return Settings(**{"home": site.home, "engine": "duckdb", "time_zone": site.rules.time_zone, **more})


def day(number: int) -> date:
    """The first day is 0."""
    return FIRST + timedelta(days=number)


def send_days(site: Site, days: int, per_day: int = 3) -> None:
    """Sends clicks of two jobs, spread over each day, and one event of every other kind."""
    for number in range(days):
        midnight = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=number)
        clicks = [
            click(midnight + timedelta(hours=24 * n / per_day), n, job_id=str(1 + n % 2), bid=f"{number}.50")
            for n in range(per_day)
        ]
        others = [
            event(midnight + timedelta(hours=1), 1000 + n, custom_track=kind, job_id="1", publisher_id="1")
            for n, kind in enumerate(("conversion", "qualified", "unqualified", "alive"))
        ]
        site.send([*clicks, *others])


def a_site(home: Any, days: int, **more: Any) -> Site:
    """A site with its two jobs and the events of that many days."""
    site = Site(home, **more)
    site.employ()
    send_days(site, days)
    return site


def run(
    site: Site,
    instance: dg.DagsterInstance,
    days: int,
    *,
    first: int = 0,
    restate: bool = False,
    overrides: Mapping[str, Any] | None = None,
    **settings: Any,
) -> RunOutcome:
    """Materializes that many days as the command line does."""
    chosen = settings_of(site, **settings)
    return run_partitions(
        instance,
        chosen,
        day(first),
        day(first + days - 1),
        restate=restate,
        definitions=build_definitions(chosen, overrides),
    )


def materializations(
    instance: dg.DagsterInstance, run_id: str
) -> dict[tuple[str, str | None], dg.AssetMaterialization]:
    """What the run materialized, by asset and partition."""
    found = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        materialization = entry.asset_materialization
        assert materialization is not None
        found[materialization.asset_key.to_user_string(), materialization.partition] = materialization
    return found


def check_results(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """What the checks of the run found, by name."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.get_dagster_event().event_specific_data for entry in entries]
    return {evaluation.check_name: evaluation for evaluation in found}


def statuses(site: Site, instance: dg.DagsterInstance, asset: str, days: int) -> list[str | None]:
    """How Dagster shows the asset's first days."""
    keys = [str(day(number)) for number in range(days)]
    found = instance.get_status_by_partition(dg.AssetKey(asset), keys, daily_partitions(settings_of(site))) or {}
    return [status.name if (status := found.get(key)) else None for key in keys]
