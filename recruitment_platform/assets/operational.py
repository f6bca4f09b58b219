"""What the platform reads and does not make: the site's operational tables, and the tracking events of the lake.

External assets: the site and its trackers write them, through `recruitment_platform.ingest`. What does not belong here:
whatever Dagster materializes. https://docs.dagster.io/guides/build/assets/external-assets
"""

import dagster as dg

from recruitment_platform.assets.catalog import (
    ENGINEERS,
    LAKE_GROUP,
    OPERATIONAL_GROUP,
    TRACKING,
    kinds,
    operational_key,
)
from recruitment_platform.assets.metadata import column_schema
from recruitment_platform.model.contract import LAKE_TRACKING
from recruitment_platform.model.operational import OPERATIONAL_TABLES
from recruitment_platform.settings import Settings


def external_assets(settings: Settings) -> list[dg.AssetSpec]:
    """The nine operational tables and `tracking`."""
    operational = [
        dg.AssetSpec(
            operational_key(name),
            description=(
                f"{table.contract.doc} The site's own table: filled by `recruitment-platform import {name} FILE` from "
                "its exports, read by every refresh of dim_jobs."
            ),
            metadata={
                "dagster/table_name": table.physical_name,
                "dagster/column_schema": column_schema(table.contract),
            },
            group_name=OPERATIONAL_GROUP,
            owners=ENGINEERS,
            kinds=kinds(settings, operational_key(name)),
            tags={"layer": "source"},
        )
        for name, table in OPERATIONAL_TABLES.items()
    ]
    tracking = dg.AssetSpec(
        TRACKING,
        description=(
            "Candidates' tracking events as the lake holds them: page views, clicks on job ads, applications and "
            "their outcome, each as received and beside it what the door derived from it. Duplicates, conflicts and "
            "late events included; rows that the door rejected are not: `recruitment-platform rejected list` has them. "
            f"Filled by {_filled_by(settings)}."
        ),
        metadata={
            "dagster/table_name": LAKE_TRACKING.name,
            "dagster/column_schema": column_schema(LAKE_TRACKING),
            "place": _place(settings),
        },
        group_name=LAKE_GROUP,
        owners=ENGINEERS,
        kinds=kinds(settings, TRACKING),
        tags={"layer": "source"},
    )
    return [*operational, tracking]


def _filled_by(settings: Settings) -> str:
    by_hand = "`recruitment-platform import tracking FILE`, or by the simulator"
    return f"`recruitment-platform ingest` from Kafka, by {by_hand}" if settings.has_kafka else by_hand


def _place(settings: Settings) -> dg.MetadataValue:
    if settings.profile == "local":
        return dg.MetadataValue.path(str(settings.lake_path))
    return dg.MetadataValue.text(settings.lake_place)
