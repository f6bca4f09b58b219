"""The data's contracts: every table's columns, types and documentation, each stated once.

DDL, Arrow and Spark schemas, Dagster's column documentation and the README's tables all derive from the values here
(`recruitment_platform.model.schemas`). What belongs here: names, types, nullability, keys, documentation. What does
not: how a value is parsed (`door`), stored (`resources`) or computed (`transforms`).
"""

from dataclasses import dataclass
from typing import Literal

TypeKind = Literal["int", "bigint", "text", "date", "timestamp", "decimal"]


@dataclass(frozen=True)
class ColumnType:
    """A type of the platform: `timestamp` is UTC with microseconds, `text` has a maximum length in characters."""

    kind: TypeKind
    length: int = 0
    precision: int = 0
    scale: int = 0

    def __str__(self) -> str:
        if self.kind == "text":
            return f"text({self.length})"
        if self.kind == "decimal":
            return f"decimal({self.precision},{self.scale})"
        return self.kind


@dataclass(frozen=True)
class Column:
    """One column: `doc` is what the UI and the README show."""

    name: str
    type: ColumnType
    doc: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """A table's columns in order, and the columns whose values identify a row."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name; KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")


INT = ColumnType("int")
BIGINT = ColumnType("bigint")
DATE = ColumnType("date")
TIMESTAMP = ColumnType("timestamp")
MONEY = ColumnType("decimal", precision=18, scale=6)
MEAN_MONEY = ColumnType("decimal", precision=18, scale=2)


def text(length: int) -> ColumnType:
    """Text of at most `length` characters."""
    return ColumnType("text", length=length)


TRACKING = Table(
    name="tracking",
    doc="A tracking event as the site's pixel sends it: page view, click on a job ad, application and its outcome.",
    key=("create_time",),
    columns=(
        Column("create_time", text(36), "TimeUUID: the event's id and the time it was received.", nullable=False),
        Column("bid", MONEY, "What the click costs, in the platform's currency."),
        Column("bn", text(128), "Browser name and version."),
        Column("campaign_id", INT, "Campaign named by the event."),
        Column("cd", INT, "Colour depth of the screen, bits."),
        Column("custom_track", text(64), "What happened: empty for a page view, click, conversion, qualified, …"),
        Column("de", text(32), "Character encoding of the document."),
        Column("dl", text(2048), "Address of the page."),
        Column("dt", text(512), "Title of the page."),
        Column("ed", text(65535), "JSON text of the custom event."),
        Column("ev", INT, "Number of the event within the page."),
        Column("group_id", INT, "Job group named by the event."),
        Column("id", text(128), "Account id of the pixel."),
        Column("job_id", INT, "Job named by the event."),
        Column("md", text(16), "Whether the page was seen on a mobile device."),
        Column("publisher_id", INT, "Publisher named by the event."),
        Column("rl", text(2048), "Address of the referring page."),
        Column("sr", text(32), "Screen resolution."),
        Column("ts", TIMESTAMP, "The client's time, UTC."),
        Column("tz", INT, "Minutes of JavaScript's getTimezoneOffset (-420 is UTC+7); informative."),
        Column("ua", text(1024), "User agent."),
        Column("uid", text(128), "Visitor."),
        Column("utm_campaign", text(256), "UTM campaign."),
        Column("utm_content", text(256), "UTM content."),
        Column("utm_medium", text(256), "UTM medium."),
        Column("utm_source", text(256), "UTM source."),
        Column("utm_term", text(256), "UTM term."),
        Column("v", INT, "Version of the pixel."),
        Column("vp", text(32), "Size of the view port."),
    ),
)

DERIVED = (
    Column("received_at", TIMESTAMP, "The time in create_time.", nullable=False),
    Column("event_time", TIMESTAMP, "ts, or received_at where ts cannot be believed (rule 2).", nullable=False),
    Column("event_date", DATE, "The event time's day in the platform's time zone.", nullable=False),
    Column("time_source", text(16), "Where event_time comes from: ts or create_time.", nullable=False),
    Column("resolved_job_id", INT, "job_id, else jobId in ed (rule 4)."),
    Column("resolved_publisher_id", INT, "publisher_id, else publisherId in ed where it is one int (rule 4)."),
    Column("bid_micros", BIGINT, "bid in millionths; 0 where there is none.", nullable=False),
    Column("payload_hash", BIGINT, "64-bit hash of the 29 columns as typed by the door (rule 1).", nullable=False),
    Column("flags", text(512), "Fields that could not be read (now null) or were too long (now cut); null where none."),
    Column("source", text(512), "The source partition the event came from.", nullable=False),
    Column("position", BIGINT, "Its position there: line of a file, row, or offset.", nullable=False),
)

LAKE_TRACKING = Table(
    name="tracking",
    doc="The lake: every accepted event as received, and beside it what the door derived from it.",
    key=("create_time", "payload_hash"),
    columns=TRACKING.columns + DERIVED,
)

RAW_TRACKING = Table(
    name="raw_tracking",
    doc="The day's snapshot: its distinct events, with the columns that transforms read.",
    key=("create_time",),
    columns=(
        *(
            LAKE_TRACKING.column(name)
            for name in ("create_time", "payload_hash", "received_at", "event_time", "event_date", "time_source")
        ),
        Column(
            "event_hour",
            INT,
            "The event time's hour in the platform's time zone, 0 to 23.",
            nullable=False,
        ),
        Column(
            "kind",
            text(16),
            "click, conversion, qualified, unqualified or not_countable (rule 3).",
            nullable=False,
        ),
        Column(
            "measure",
            INT,
            "The kind as a number, by the facts' count that it adds to: 1 clicks, 2 conversion, "
            "3 qualified_application, 4 disqualified_application; 0 none.",
            nullable=False,
        ),
        *(
            LAKE_TRACKING.column(name)
            for name in ("resolved_job_id", "resolved_publisher_id", "campaign_id", "group_id", "bid_micros")
        ),
    ),
)

FACT_KEY = ("dates", "hours", "job_id", "publisher_id", "campaign_id", "group_id", "company_id")

HOURLY_FACTS = Table(
    name="redshift_fact_events",
    doc="Hourly facts: one row for each day, hour, job, publisher, campaign, group and company with a countable event.",
    key=FACT_KEY,
    columns=(
        Column("job_id", INT, "Job; 0 is unknown.", nullable=False),
        Column("publisher_id", INT, "Publisher; 0 is unknown.", nullable=False),
        Column("campaign_id", INT, "The event's campaign, else the job's; 0 is unknown.", nullable=False),
        Column("group_id", INT, "The event's job group, else the job's; 0 is unknown.", nullable=False),
        Column("company_id", INT, "The job's company; 0 is unknown.", nullable=False),
        Column("dates", DATE, "Day of the event time in the platform's time zone.", nullable=False),
        Column(
            "hours", INT, "Hour of the event time, 0 to 23; on a 25-hour day two hours share a row.", nullable=False
        ),
        Column("clicks", BIGINT, "Clicks.", nullable=False),
        Column("conversion", BIGINT, "Applications.", nullable=False),
        Column("qualified_application", BIGINT, "Applications found qualified.", nullable=False),
        Column("disqualified_application", BIGINT, "Applications found unqualified.", nullable=False),
        Column("spend_hour", MONEY, "Sum of the clicks' bids, in the platform's currency.", nullable=False),
        Column("bid_set", MEAN_MONEY, "Mean bid of the clicks, rounded half up; 0 where no click.", nullable=False),
        Column("impressions", BIGINT, "Impressions; null where not measured."),
        Column("sources", text(16), "The lake that was read: Cassandra or Parquet.", nullable=False),
        Column("latest_update_time", TIMESTAMP, "Newest receive time among the row's events, UTC.", nullable=False),
    ),
)

DIM_JOBS = Table(
    name="dim_jobs",
    doc="Jobs as they were at each time: a slowly changing dimension of type 2, joined as of the event's time.",
    key=("job_id", "valid_from"),
    columns=(
        Column("job_id", INT, "Job.", nullable=False),
        Column("title", text(512), "Title."),
        Column("status", INT, "Status code of the site."),
        Column("company_id", INT, "Company."),
        Column("company_name", text(256), "Company's name."),
        Column("campaign_id", INT, "Campaign."),
        Column("campaign_name", text(256), "Campaign's name."),
        Column("group_id", INT, "Job group."),
        Column("group_name", text(256), "Job group's name."),
        Column("major_category", text(256), "Major category's name."),
        Column("minor_category", text(256), "Minor category's name."),
        Column("city", text(256), "City of the job's first location."),
        Column("budget", MONEY, "The job's own budget, in currency."),
        Column("currency", text(8), "Currency, ISO 4217.", nullable=False),
        Column("valid_from", TIMESTAMP, "First instant at which this version holds, UTC.", nullable=False),
        Column("valid_to", TIMESTAMP, "First instant at which it no longer holds, UTC; null while it holds."),
        Column("is_current", INT, "1 while this version holds, else 0.", nullable=False),
    ),
)

DIM_PUBLISHERS = Table(
    name="dim_publishers",
    doc="Publishers: the sites on which job ads are shown.",
    key=("publisher_id",),
    columns=(
        Column("publisher_id", INT, "Publisher.", nullable=False),
        Column("publisher_name", text(256), "Name."),
        Column("publisher_type", INT, "Type code of the site."),
        Column("publisher_status", INT, "Status code of the site."),
    ),
)

LOAD_LEDGER = Table(
    name="load_ledger",
    doc="What is published: one row for each load of a day, the newest of a day is in force.",
    key=("dates", "manifest"),
    columns=(
        Column("dates", DATE, "The day.", nullable=False),
        Column("manifest", BIGINT, "Number of the manifest that was loaded.", nullable=False),
        Column("digest", text(64), "SHA-256 of the day's rows.", nullable=False),
        Column("rows_loaded", BIGINT, "Rows of the day.", nullable=False),
        Column("clicks", BIGINT, "Clicks of the day.", nullable=False),
        Column("spend", MONEY, "Spend of the day, in the platform's currency.", nullable=False),
        Column("watermark", text(65535), "JSON: source partition to last position, of the snapshot.", nullable=False),
        Column("dim_version", BIGINT, "Version of dim_jobs that was joined.", nullable=False),
        Column("code_version", text(64), "Version of the transform that computed it.", nullable=False),
        Column("run_id", text(64), "Dagster's run.", nullable=False),
        Column("loaded_at", TIMESTAMP, "When the load that was committed had begun, UTC.", nullable=False),
    ),
)

BILLING_CLOSE = Table(
    name="billing_close",
    doc="Through which day the facts are closed: one row for each close, the furthest one holds.",
    key=("closed_through",),
    columns=(
        Column("closed_through", DATE, "The last day that is closed; all before it are too.", nullable=False),
        Column("closed_at", TIMESTAMP, "When it was closed, UTC.", nullable=False),
    ),
)

FACT_ADJUSTMENTS = Table(
    name="fact_adjustments",
    doc="What events that came after the close add to closed days' facts, or take from them, by the facts' key.",
    key=FACT_KEY,
    columns=(
        *(HOURLY_FACTS.column(name) for name in ("job_id", "publisher_id", "campaign_id", "group_id", "company_id")),
        HOURLY_FACTS.column("dates"),
        HOURLY_FACTS.column("hours"),
        Column("clicks", BIGINT, "Clicks beyond the facts' own; negative where fewer.", nullable=False),
        Column("conversion", BIGINT, "Applications beyond the facts' own.", nullable=False),
        Column("qualified_application", BIGINT, "Applications found qualified, beyond the facts' own.", nullable=False),
        Column("disqualified_application", BIGINT, "The same of those found unqualified.", nullable=False),
        Column("spend_hour", MONEY, "Spend beyond the facts' own, in the platform's currency.", nullable=False),
    ),
)

ADJUSTMENT_LEDGER = Table(
    name="adjustment_ledger",
    doc="What is booked of closed days: one row for each booking. The newest one of the load in force holds.",
    key=("dates", "manifest", "number"),
    columns=(
        Column("dates", DATE, "The day.", nullable=False),
        Column("manifest", BIGINT, "The load that is adjusted; 0 where the day was never loaded.", nullable=False),
        Column("number", BIGINT, "Counts the bookings of that load, from 1.", nullable=False),
        Column("digest", text(64), "SHA-256 of the rows as computed: the facts and the adjustments.", nullable=False),
        Column("rows_adjusted", BIGINT, "Rows of the adjustments.", nullable=False),
        Column("clicks", BIGINT, "Clicks beyond the facts' own.", nullable=False),
        Column("spend", MONEY, "Spend beyond the facts' own, in the platform's currency.", nullable=False),
        *(LOAD_LEDGER.column(name) for name in ("watermark", "dim_version", "code_version", "run_id")),
        Column("booked_at", TIMESTAMP, "When the booking that was committed had begun, UTC.", nullable=False),
    ),
)

EVENTS_LOAD = Table(
    name="events_load",
    doc="Which manifest each day of the operational reports' table `events` holds.",
    key=("dates",),
    columns=(
        Column("dates", DATE, "The day.", nullable=False),
        Column("manifest", BIGINT, "Number of the manifest that was loaded.", nullable=False),
        Column("digest", text(64), "SHA-256 of the day's rows.", nullable=False),
        Column("rows_loaded", BIGINT, "Rows of the day.", nullable=False),
        Column("loaded_at", TIMESTAMP, "When it was loaded, UTC.", nullable=False),
    ),
)

DIMENSION_VERSION = Table(
    name="dimension_version",
    doc="Which version of each dimension the warehouse holds.",
    key=("dimension",),
    columns=(
        Column("dimension", text(64), "dim_jobs or dim_publishers.", nullable=False),
        Column("version", BIGINT, "Its version.", nullable=False),
        Column("rows_loaded", BIGINT, "Its rows.", nullable=False),
        Column("loaded_at", TIMESTAMP, "When it was loaded, UTC.", nullable=False),
    ),
)

JOB_PERFORMANCE = Table(
    name="job_performance",
    doc="What analysts read: every row of the hourly facts once, with the names that its ids carry now.",
    key=FACT_KEY,
    columns=(
        HOURLY_FACTS.column("dates"),
        HOURLY_FACTS.column("hours"),
        HOURLY_FACTS.column("job_id"),
        Column("job_title", text(512), "The job's newest title; null where dim_jobs does not know the job."),
        Column("major_category", text(256), "The job's newest major category."),
        Column("minor_category", text(256), "The job's newest minor category."),
        Column("city", text(256), "City of the job's first location."),
        HOURLY_FACTS.column("company_id"),
        Column("company_name", text(256), "The company's newest name."),
        HOURLY_FACTS.column("campaign_id"),
        Column("campaign_name", text(256), "The campaign's newest name."),
        HOURLY_FACTS.column("group_id"),
        Column("group_name", text(256), "The job group's newest name."),
        HOURLY_FACTS.column("publisher_id"),
        Column("publisher_name", text(256), "The publisher's name."),
        HOURLY_FACTS.column("clicks"),
        HOURLY_FACTS.column("conversion"),
        HOURLY_FACTS.column("qualified_application"),
        HOURLY_FACTS.column("disqualified_application"),
        HOURLY_FACTS.column("spend_hour"),
        HOURLY_FACTS.column("bid_set"),
        HOURLY_FACTS.column("impressions"),
        HOURLY_FACTS.column("latest_update_time"),
    ),
)

JOB_ADJUSTMENTS = Table(
    name="job_adjustments",
    doc="The adjustments of closed days, each row once, with the names that its ids carry now.",
    key=FACT_KEY,
    columns=(
        *(JOB_PERFORMANCE.column(name) for name in ("dates", "hours", "job_id", "job_title")),
        *(JOB_PERFORMANCE.column(name) for name in ("company_id", "company_name", "campaign_id", "campaign_name")),
        *(JOB_PERFORMANCE.column(name) for name in ("group_id", "group_name", "publisher_id", "publisher_name")),
        *FACT_ADJUSTMENTS.columns[7:],
    ),
)

WAREHOUSE_TABLES = (
    HOURLY_FACTS,
    LOAD_LEDGER,
    DIM_JOBS,
    DIM_PUBLISHERS,
    DIMENSION_VERSION,
    BILLING_CLOSE,
    FACT_ADJUSTMENTS,
    ADJUSTMENT_LEDGER,
)
"""What every warehouse holds; its views, `job_performance` and `job_adjustments`, read these."""
