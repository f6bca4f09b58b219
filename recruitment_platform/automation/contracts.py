"""The contracts of freshness that the web page shows: by when which asset must have been materialized.

They are of whole assets: with an old day just backfilled, the page calls the asset fresh although yesterday is missing.
So they are what readers may rely on, and `sensors` does the work, day by day. What belongs here: the times by which.
https://docs.dagster.io/guides/observe/asset-freshness-policies
"""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from recruitment_platform.assets.catalog import DIM_JOBS, FACTS, MYSQL_EVENTS, STAGED
from recruitment_platform.settings import Settings

PUBLISHED_BY = "0 8 * * *"
"""The daily job runs at six; what it missed, the freshness sensor asks for from seven on."""
REFRESHED_BY = "0 6 * * *"
"""When the daily job joins them."""
WITHIN = timedelta(hours=2)
"""How long before, at the most: what was materialized the day before is not meant."""


def with_contracts(assets: Sequence[dg.AssetsDefinition], settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets, published ones and dim_jobs with a policy in the platform's time zone."""
    published = dg.FreshnessPolicy.cron(PUBLISHED_BY, WITHIN, settings.time_zone)
    refreshed = dg.FreshnessPolicy.cron(REFRESHED_BY, WITHIN, settings.time_zone)
    policies = {STAGED: published, FACTS: published, MYSQL_EVENTS: published, DIM_JOBS: refreshed}

    def with_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
        policy = policies.get(spec.key)
        return spec if policy is None else spec.replace_attributes(freshness_policy=policy)

    return [asset.map_asset_specs(with_policy) for asset in assets]
