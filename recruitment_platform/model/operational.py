"""The site's operational tables: which columns matter to the platform, and how a raw row of an export becomes typed.

What belongs here: the contracts of the nine tables that feed dim_jobs and dim_publishers, the names of the tables kept
as they come, and one pure function from text to values. What does not: reading files (`ingest`), storing rows or
joining them (`resources.relational.store`, `transforms/dim_jobs.sql`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from recruitment_platform.model.contract import (
    INT,
    MONEY,
    TIMESTAMP,
    Column,
    ColumnType,
    Table,
    text,
)

Value = int | str | Decimal | datetime | None
"""A typed value: money is Decimal in the platform's currency, timestamps are timezone-aware UTC."""


@dataclass(frozen=True)
class OperationalTable:
    """A table's contract, and what the platform asks of its exports.

    `needed` are the columns that dim_jobs or dim_publishers read: where one of them cannot be read, the row is
    refused, whereas an unreadable value elsewhere becomes null. `aliases` maps a column to other headers it goes by.
    """

    contract: Table
    needed: frozenset[str]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    physical_name: str = ""
    """The database's name for the table, where its own would need quoting."""


GENERIC_TABLES = (
    "application",
    "conversation",
    "dev_user",
    "events",
    "master_role",
    "user_client_assignee",
    "user_role",
    "search",
)
"""Tables that are kept row by row as they come: nothing in the platform reads their columns."""

_ID = Column("id", INT, "Id, unique within the table.", nullable=False)
_LIFE = (
    Column("is_active", INT, "1 unless the row was deleted on the site."),
    Column("created_date", TIMESTAMP, "When the row was created, UTC."),
    Column("last_modified_date", TIMESTAMP, "When the row last changed, UTC."),
)


def _table(
    name: str,
    doc: str,
    *needed: Column,
    also: tuple[Column, ...] = (),
    aliases: Mapping[str, tuple[str, ...]] | None = None,
    physical_name: str = "",
) -> OperationalTable:
    return OperationalTable(
        contract=Table(name=name, doc=doc, key=("id",), columns=(_ID, *needed, *also)),
        needed=frozenset(column.name for column in (_ID, *needed)),
        aliases=aliases or {},
        physical_name=physical_name or name,
    )


OPERATIONAL_TABLES: Mapping[str, OperationalTable] = {
    table.contract.name: table
    for table in (
        _table(
            "job",
            "Job ads.",
            Column("title", text(512), "Title of the ad."),
            Column("status", INT, "Status code of the site."),
            Column("budget", MONEY, "The job's own budget."),
            Column("group_id", INT, "Job group the job belongs to."),
            Column("minor_id", INT, "Minor category."),
            Column("campaign_id", INT, "Campaign the job belongs to."),
            Column("company_id", INT, "Company that hires."),
            also=_LIFE,
            aliases={"title": ("job_title",), "minor_id": ("minor_category_id",)},
        ),
        _table(
            "campaign",
            "Campaigns, which pay for clicks on their jobs.",
            Column("campaign_name", text(256), "Name."),
            Column("unit_budget", text(32), "Currency of the campaign's money, as the site writes it."),
            Column("company_id", INT, "Company that pays."),
            also=(
                Column("budget_total", MONEY, "Budget of the whole campaign."),
                Column("campaign_status", INT, "Status code of the site."),
                *_LIFE,
            ),
            aliases={"campaign_name": ("name",)},
        ),
        _table(
            "company",
            "Companies.",
            Column("name", text(256), "Name."),
            also=(Column("status", INT, "Status code of the site."), *_LIFE),
            aliases={"name": ("company_name",)},
        ),
        _table(
            "group",
            "Job groups: jobs of a campaign that share a budget.",
            Column("name", text(256), "Name."),
            Column("campaign_id", INT, "Campaign the group belongs to."),
            also=(
                Column("budget_group", MONEY, "Budget of the group."),
                Column("company_id", INT, "Company that pays."),
                Column("status", INT, "Status code of the site."),
                *_LIFE,
            ),
            aliases={"name": ("group_name",)},
            physical_name="job_group",
        ),
        _table(
            "master_publisher",
            "Publishers: the sites on which job ads are shown.",
            Column("publisher_name", text(256), "Name."),
            Column("publisher_type", INT, "Type code of the site."),
            Column("publisher_status", INT, "Status code of the site."),
            also=_LIFE,
            aliases={"publisher_name": ("name",)},
        ),
        _table(
            "job_location",
            "Where a job is: one row for each of its cities.",
            Column("job_id", INT, "Job."),
            Column("city_id", INT, "City."),
            aliases={"city_id": ("master_city_id",)},
        ),
        _table(
            "master_city",
            "Cities.",
            Column("city_name", text(256), "Name."),
            aliases={"city_name": ("name", "city")},
        ),
        _table(
            "master_major_category",
            "Major categories of jobs.",
            Column("major_category_name", text(256), "Name."),
            aliases={"major_category_name": ("name", "major_name", "category_name")},
        ),
        _table(
            "master_minor_category",
            "Minor categories of jobs, each within a major one.",
            Column("minor_category_name", text(256), "Name."),
            Column("major_id", INT, "Major category it belongs to."),
            aliases={
                "minor_category_name": ("name", "minor_name", "category_name"),
                "major_id": ("major_category_id", "master_major_category_id"),
            },
        ),
    )
}
"""The nine tables by the name under which they are imported and shown."""

_NULL = frozenset(("", "nan", "null", "none", "nat", "\\n"))
# Of text only what programs write for null: a company may well be called None.
_NULL_TEXT = frozenset(("", "nan", "NaN", "NULL", "\\N"))
_INTEGER = re.compile(r"([+-]?[0-9]+)(?:\.0*)?")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_FIRST_YEAR = 1000  # MySQL's DATETIME starts there


def parse_row(table: str, row: Mapping[str, str | None]) -> dict[str, Value]:
    """The typed values of one raw row, one for each column of the table's contract; other columns are ignored.

    Integers may be written as `188.0`, null as empty or `nan`; timestamps without an offset are UTC; text longer than
    the contract is cut. Raises ValueError with the reason where `id`, or another column that dim_jobs or
    dim_publishers read, cannot be read; an unreadable value elsewhere becomes null. KeyError for an unknown table.
    """
    operational = OPERATIONAL_TABLES[table]
    values = {column.name: _value(operational, column, row) for column in operational.contract.columns}
    if values["id"] is None:
        raise ValueError("id is missing")
    return values


def _value(operational: OperationalTable, column: Column, row: Mapping[str, str | None]) -> Value:
    headers = (column.name, *operational.aliases.get(column.name, ()))
    raw = next((row[header] for header in headers if header in row), None)
    if raw is None:
        return None
    try:
        return _PARSERS[column.type.kind](raw, column.type)
    except ValueError as error:
        if column.name in operational.needed:
            raise ValueError(f"{column.name} {error}") from error
        return None


def _integer(raw: str, _: ColumnType) -> int | None:
    trimmed = raw.strip()
    if trimmed.lower() in _NULL:
        return None
    match = _INTEGER.fullmatch(trimmed)
    if match is None or len(match[1]) > 11 or not -(2**31) <= int(match[1]) < 2**31:
        raise ValueError("is not an integer")
    return int(match[1])


def _money(raw: str, column_type: ColumnType) -> Decimal | None:
    trimmed = raw.strip()
    if trimmed.lower() in _NULL:
        return None
    if _DECIMAL.fullmatch(trimmed) is None:
        raise ValueError("is not a number")
    whole, _, fraction = trimmed.lstrip("+-").partition(".")
    if len(fraction.rstrip("0")) > column_type.scale:
        raise ValueError(f"has more than {column_type.scale} decimals")
    if len(whole.lstrip("0")) > column_type.precision - column_type.scale:
        raise ValueError("is too large")
    return Decimal(trimmed)


def _timestamp(raw: str, _: ColumnType) -> datetime | None:
    trimmed = raw.strip()
    if trimmed.lower() in _NULL:
        return None
    parsed = datetime.fromisoformat(trimmed)
    try:
        instant = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is not a timestamp") from error
    if instant.year < _FIRST_YEAR:
        raise ValueError("is not a timestamp")
    return instant


def _text(raw: str, column_type: ColumnType) -> str | None:
    if raw.strip() in _NULL_TEXT:
        return None
    # Half a surrogate pair, which JSON and careless exports can hold, is storable nowhere.
    return raw[: column_type.length].encode("utf-8", "replace").decode("utf-8")


_PARSERS: Mapping[str, Callable[[str, ColumnType], Value]] = {
    "int": _integer,
    "decimal": _money,
    "timestamp": _timestamp,
    "text": _text,
}
