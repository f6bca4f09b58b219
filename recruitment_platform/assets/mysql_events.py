"""mysql_events: the published facts in the relational store, for the site's own operational reports.

What belongs here: what the asset is. What does not: when it is made (by the step of `assets.published`, since a step
that fails for one bad day would starve one of its own), how a day is copied (`pipeline.reports`).
"""

import dagster as dg

from recruitment_platform.assets import metadata
from recruitment_platform.assets.catalog import ANALYSTS, FACTS_GROUP, MYSQL_EVENTS, STAGED, kinds
from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.settings import Settings

CODE_VERSION = "1"
"""Counts up when what is copied changes."""

DESCRIPTION = """The hourly facts where the site's own reports join them: the table `events` of the relational store.

The rows are those of `redshift_fact_events`, from the same manifest in force: a day is replaced whole, in one
transaction with its row of `events_load`, and an older manifest never replaces a newer one. On MySQL money is DECIMAL;
in the embedded SQLite file, which has none, it is in millionths.
"""


def mysql_events_spec(settings: Settings) -> dg.AssetSpec:
    """The asset, for the step that makes it."""
    return dg.AssetSpec(
        MYSQL_EVENTS,
        deps=[STAGED],
        skippable=True,
        description=DESCRIPTION,
        metadata=metadata.definition_metadata(
            MYSQL_EVENTS,
            HOURLY_FACTS,
            metadata.same_columns(HOURLY_FACTS, "s3_staged_events"),
            {"s3_staged_events": STAGED},
        ),
        group_name=FACTS_GROUP,
        code_version=CODE_VERSION,
        owners=ANALYSTS,
        kinds=kinds(settings, MYSQL_EVENTS),
        tags={"layer": "published"},
    )
