"""A day's facts at a glance: the rates that follow from its figures, and its busiest rows, with names.

What belongs here: figures and rows as a person reads them. What does not: the figures themselves (`metadata`), the plot
(`plot`), names beside every row, which the warehouse's view `job_performance` has.
"""

from collections.abc import Collection, Mapping
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.assets.plot import LONGEST
from recruitment_platform.pipeline.dimensions import current_dimensions
from recruitment_platform.pipeline.manifests import FactsManifest
from recruitment_platform.resources.protocols import ObjectStore

ROWS = 5
LONGEST_NAME = 30
HEADER = ("hour", "job", "company", "publisher", "clicks", "applications", "spend")

_NOT_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|~#&!"})


def rates(facts: FactsManifest, currency: str) -> str:
    """What the day's figures come to, in one line each; a rate of nothing is left out."""
    lines = (
        _share(facts.conversion, facts.clicks, "of the clicks became applications"),
        _share(facts.qualified, facts.conversion, "of the applications were qualified"),
        _each(facts.spend_micros, facts.clicks, f"{currency} a click"),
        _each(facts.spend_micros, facts.conversion, f"{currency} an application"),
    )
    return "\n".join(f"- {line}" for line in lines if line) or "none"


def busiest_rows(rows: pa.Table, store: ObjectStore) -> str:
    """Markdown: the rows with the most clicks, then the most spend; names are those of the newest dim_jobs."""
    if not rows.num_rows:
        return "no rows"
    order = [("clicks", "descending"), ("spend_hour", "descending"), ("hours", "ascending"), ("job_id", "ascending")]
    top = rows.sort_by(order).slice(0, ROWS).to_pylist()
    jobs, companies, publishers = _names(store, top)
    lines = [
        (
            row["hours"],
            _named(row["job_id"], jobs),
            _named(row["company_id"], companies),
            _named(row["publisher_id"], publishers),
            f"{row['clicks']:,}",
            f"{row['conversion']:,}",
            f"{row['spend_hour']:,.2f}",
        )
        for row in top
    ]
    shown = "\n".join(f"| {' | '.join(map(str, line))} |" for line in (HEADER, ["---"] * len(HEADER), *lines))
    # A line that would make the page show a link in place of the table is left out.
    return shown if len(shown) <= LONGEST else shown[:LONGEST].rpartition("\n")[0]


def _share(part: int, whole: int, of: str) -> str:
    return f"{Decimal(100 * part) / whole:.2f} % {of}" if whole else ""


def _each(micros: int, count: int, what: str) -> str:
    return f"{Decimal(micros).scaleb(-6) / count:,.4f} {what}" if count else ""


def _names(
    store: ObjectStore, rows: Collection[Mapping[str, int]]
) -> tuple[dict[int, str], dict[int, str], dict[int, str]]:
    """The names of the rows' jobs, companies and publishers that are known."""
    dimensions = current_dimensions(store)
    if dimensions is None:
        return {}, {}, {}
    jobs = pq.read_table(
        store.local(dimensions.key),
        columns=["job_id", "title", "company_id", "company_name"],
        filters=[("is_current", "=", 1), ("job_id", "in", {row["job_id"] for row in rows})],
        partitioning=None,
    ).to_pylist()
    publishers = pq.read_table(
        store.local(dimensions.publishers_key),
        columns=["publisher_id", "publisher_name"],
        filters=[("publisher_id", "in", {row["publisher_id"] for row in rows})],
        partitioning=None,
    ).to_pylist()
    return (
        {job["job_id"]: job["title"] for job in jobs if job["title"]},
        {job["company_id"]: job["company_name"] for job in jobs if job["company_name"]},
        {one["publisher_id"]: one["publisher_name"] for one in publishers if one["publisher_name"]},
    )


def _named(number: int, names: Mapping[int, str]) -> str:
    """The id and, where it is known, the name: others wrote it, so nothing in it may be read as Markdown."""
    name = " ".join(names.get(number, "").split())
    shown = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return f"{number} {shown.translate(_NOT_MARKDOWN)}".rstrip()
