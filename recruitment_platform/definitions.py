"""The one place where all is put together: assets, checks, jobs, schedules, sensors and resources, by the settings.

What belongs here: nothing but that. Loading this touches no network, starts no Java and creates no folder.
https://docs.dagster.io/guides/build/projects-and-components/project-structure
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from recruitment_platform.assets.dim_jobs import dim_jobs_asset
from recruitment_platform.assets.job_hourly_events import job_hourly_events_asset
from recruitment_platform.assets.operational import external_assets
from recruitment_platform.assets.published import published_assets
from recruitment_platform.assets.raw_tracking import raw_tracking_asset
from recruitment_platform.automation.contracts import with_contracts
from recruitment_platform.automation.executor import in_one_process
from recruitment_platform.automation.jobs import daily_facts, refresh_dim_jobs
from recruitment_platform.automation.schedules import schedules
from recruitment_platform.automation.sensors import sensors
from recruitment_platform.resources.dagster_resources import platform_resources
from recruitment_platform.settings import Settings


def build_definitions(settings: Settings, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The platform by these settings.

    `resource_overrides` replaces resources by name: by other resources, or by functions that return a store or engine.
    """
    return dg.Definitions(
        assets=[
            *external_assets(settings),
            *with_contracts(
                [
                    dim_jobs_asset(settings),
                    raw_tracking_asset(settings),
                    job_hourly_events_asset(settings),
                    published_assets(settings),
                ],
                settings,
            ),
        ],
        jobs=[daily_facts, refresh_dim_jobs],
        schedules=schedules(settings),
        sensors=sensors(settings),
        resources={**platform_resources(settings), **(resource_overrides or {})},
        # For assets materialized by hand.
        executor=in_one_process,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: the platform by the settings of its process."""
    return build_definitions(Settings.from_environment())
