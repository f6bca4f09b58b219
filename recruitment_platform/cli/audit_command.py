"""`audit`: what a day's figures are made of, and whether the lake has what its sources have.

What belongs here: the command, and the audit's tables. What does not: what is compared (`pipeline.audit`,
`pipeline.source_audit`).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, Literal, TextIO

import click

from recruitment_platform.cli import output
from recruitment_platform.cli.days import DAY, today
from recruitment_platform.cli.progress import note, progress
from recruitment_platform.cli.stores import existing_stores
from recruitment_platform.errors import InputError, ReconciliationError
from recruitment_platform.ingest.rereading import Reread, Unreadable, reread_file
from recruitment_platform.pipeline.audit import DayAudit, audit_day, kind_of, shown_source
from recruitment_platform.pipeline.reconciliation import SPEND, Comparison
from recruitment_platform.pipeline.source_audit import LISTED, ComparedSource, ReadAgain, audit_sources
from recruitment_platform.resources.kafka.sources import shown_position, shown_positions
from recruitment_platform.resources.protocols import SourceState
from recruitment_platform.resources.stores import Stores, door_rules
from recruitment_platform.settings import Settings

Style = Literal["table", "json"]

PLACES = ("lake", "snapshot", "facts", "ledger", "table", "table and adjustments")

Cells = Sequence[str]


@click.command("audit")
@click.argument("day", type=DAY)
@click.option("--source", "from_sources", is_flag=True, help="Read the day's sources again, and compare the ids.")
@click.option(
    "--format",
    "style",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="json is one object, money in millionths.",
)
def command(day: date, from_sources: bool, style: Style) -> None:
    """What a day's figures are made of: where its events came from, how they add up, and what each load changed.

    Each line of the reconciliation says whether it holds. Where one does not, the exit code is 4, after all is told.

    With --source the day's sources are read once more: files from where they were imported, Kafka's messages as far as
    it still has them, simulated traffic by making it again. Rows are compared by id, content and position. A source
    that cannot be read any more is told, and is no failure; a row that only one side has is.

    \b
    Examples:
      recruitment-platform audit 2022-07-27
      recruitment-platform audit 2022-07-27 --source
    """
    settings = Settings.from_environment()
    _check(settings, day)
    stores = existing_stores(settings)
    if from_sources:
        _audit_sources(settings, stores, day, style)
        return
    audit = audit_day(stores.lake, stores.objects, stores.warehouse, day)
    out = output.stdout()
    if style == "json":
        changes = ("rows_change", "clicks_change", "spend_micros_change")
        loads = [
            asdict(load.row) | dict(zip(changes, load.changes, strict=True)) | {"why": load.why} for load in audit.loads
        ]
        write_json(asdict(audit) | {"loads": loads}, audit.problems, out)
    else:
        _write(audit, settings.currency, out)
    _fail_where(day, audit.problems)


def _audit_sources(settings: Settings, stores: Stores, day: date, style: Style) -> None:
    with progress(f"{day}", "rows read again") as advance:
        compared = audit_sources(stores.lake, day, _read_again(settings, stores), advance)
    problems = [f"{shown_source(source.source)}: {source.problem}" for source in compared if source.problem]
    out = output.stdout()
    if style == "json":
        write_json({"day": day, "sources": [asdict(source) for source in compared]}, problems, out)
    elif compared:
        out.write(f"{day}: its sources, read again\n")
        _write_compared(compared, out)
    else:
        note(f"the lake has no event of {day}")
    for source in compared:
        if source.unreadable:
            note(f"{shown_source(source.source)} could not be read again: {source.unreadable}")
    _fail_where(day, problems)


def _read_again(settings: Settings, stores: Stores) -> ReadAgain:
    """How a source of each kind is read again."""

    def read_again(state: SourceState, first: int, last: int) -> Reread | Unreadable:
        match kind_of(state.source):
            case "file":
                return reread_file(door_rules(settings), state)
            case "simulated":
                from recruitment_platform.simulation.again import made_again

                return made_again(settings, state)
            case "kafka" if stores.event_log is not None:
                from recruitment_platform.ingest.event_log import reread

                return reread(stores.event_log, door_rules(settings), state.source, first, last)
            case "kafka":
                return Unreadable("there is no event log: set RECRUITMENT_KAFKA_SERVERS")
        return Unreadable("where it came from is not known")

    return read_again


def _write_compared(compared: Sequence[ComparedSource], out: TextIO) -> None:
    rows = [
        (
            shown_source(source.source),
            "" if source.unreadable else f"{source.in_source:,}",
            f"{source.in_lake:,}",
            f"{source.mended:,}" if source.mended else "",
            f"{source.missing:,}" if source.missing else "",
            f"{source.extra:,}" if source.extra else "",
            f"{source.expired:,}" if source.expired else "",
            "not read" if source.unreadable else _holds(not source.problem),
            source.read_from,
        )
        for source in compared
    ]
    names = ("source", "in it", "in the lake", "mended", "missing", "extra", "expired", "holds", "read from")
    section("Rows of the day, in the sources and in the lake", names, rows, range(1, 7), out)
    differing = [
        (shown_source(source.source), row.what, row.create_time, shown_position(source.source, row.position))
        for source in compared
        for row in source.rows
    ]
    title = f"Rows that differ, the first {LISTED} of each source and kind"
    section(title, ("source", "row is", "create_time", "position"), differing, (3,), out)


def _check(settings: Settings, day: date) -> None:
    if day < settings.first_day:
        raise InputError(f"{day} is before the first day, {settings.first_day}: there is nothing to explain")
    if day > today(settings):
        raise InputError(f"{day} has not begun; today is {today(settings)} ({settings.time_zone})")


def _fail_where(day: date, problems: Sequence[str]) -> None:
    if problems:
        more = f", and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        raise ReconciliationError(f"{day} does not add up: {problems[0]}{more}")


def write_json(found: dict[str, Any], problems: Sequence[str], out: TextIO) -> None:
    """Writes one JSON object, with what does not hold; days and times are ISO 8601."""
    document = found | {"holds": not problems, "problems": list(problems)}
    json.dump(document, out, ensure_ascii=False, indent=1, default=lambda value: value.isoformat())
    out.write("\n")


def section(title: str, names: Sequence[str], rows: Sequence[Cells], right: Sequence[int], out: TextIO) -> None:
    """Writes a titled table without the columns that have nothing to tell; nothing where there is no row."""
    if not rows:
        return
    kept = [number for number in range(len(names)) if any(row[number] for row in rows)]
    out.write(f"\n{title}\n" if title else "")
    output.write_aligned(
        [names[number] for number in kept],
        [[row[number] for number in kept] for row in rows],
        [number in right for number in kept],
        out,
    )


def _write(audit: DayAudit, currency: str, out: TextIO) -> None:
    for line in _headlines(audit):
        out.write(line + "\n")
    for write in (_sources, _kinds, _comparisons, _rejected, _listed, _loads, _bookings):
        write(audit, currency, out)


def _headlines(audit: DayAudit) -> Iterator[str]:
    snapshot, facts = audit.snapshot, audit.facts
    taken = f"{snapshot.created_at:%Y-%m-%d %H:%M:%S} UTC by run {snapshot.run_id}"
    yield f"{audit.day}: snapshot {snapshot.number}, taken {taken}"
    if facts is None:
        yield "no facts are published of it yet"
    else:
        yield f"facts: manifest {facts.number}, with dim_jobs {facts.dim_version}, by code {facts.code_version}"
    if audit.closed:
        yield "closed for billing: what comes later is booked as adjustments, and changes nothing that is loaded"
    if audit.newer_snapshot is not None:
        came = "adjustments are booked" if audit.closed else "no facts are published"
        yield f"snapshot {audit.newer_snapshot} is newer; {came} of it"
    for source in audit.unclear:
        yield (
            f"{shown_source(source)}: it brought more since the snapshot, and mended rows of it were replayed: which "
            "of its rows the snapshot has cannot be told; run the day, then audit it again"
        )
    if audit.later_rows:
        yield f"{audit.later_rows:,} rows in the lake are not in snapshot {snapshot.number}"


def _sources(audit: DayAudit, currency: str, out: TextIO) -> None:
    rows = [
        (
            shown_source(source.source),
            f"{source.rows:,}",
            f"{source.replayed:,}" if source.replayed else "",
            f"{source.later_rows:,}" if source.later_rows else "",
            shown_positions(source.source, source.first_position, source.last_position) if source.last_position else "",
            f"{source.received:,}",
            f"{source.accepted:,}",
            f"{source.rejected:,}",
            _holds(not source.problems),
            ", ".join(source.paths),
        )
        for source in audit.sources
    ]
    of_day = ("rows", "replayed", "not in snapshot", "positions")
    names = ("source", *of_day, "received", "accepted", "rejected", "holds", "paths")
    section("Sources: rows of the day, and the source as a whole", names, rows, (1, 2, 3, 5, 6, 7), out)


def _kinds(audit: DayAudit, currency: str, out: TextIO) -> None:
    spend = output.money([line.click_micros for line in audit.kinds])
    rows = [
        (
            shown_source(line.source),
            line.kind,
            f"{line.accepted:,}",
            f"{line.distinct:,}",
            f"{line.duplicates:,}",
            f"{line.conflicts:,}",
            money if line.kind == "click" else "",
            _holds(line.holds),
        )
        for line, money in zip(audit.kinds, spend, strict=True)
    ]
    names = ("source", "kind", "accepted", "distinct", "duplicates", "conflicts", f"spend, {currency}", "holds")
    section("By source and kind: an event counts where it first came", names, rows, (2, 3, 4, 5, 6), out)


def _comparisons(audit: DayAudit, currency: str, out: TextIO) -> None:
    rows = [
        (
            compared.what.replace(SPEND, f"spend, {currency}"),
            *(_figure(compared, place) for place in PLACES),
            _holds(compared.holds),
        )
        for compared in audit.comparisons
    ]
    right = range(1, 1 + len(PLACES))
    section("What must be equal", ("figure", *PLACES, "holds"), rows, right, out)


def _figure(compared: Comparison, place: str) -> str:
    if place not in compared.values:
        return ""
    value = compared.values[place]
    return output.money([value])[0] if compared.what.startswith(SPEND) else f"{value:,}"


def _rejected(audit: DayAudit, currency: str, out: TextIO) -> None:
    rows = [
        (
            row.ingest_date.isoformat(),
            shown_source(row.source),
            row.reason,
            f"{row.rows:,}",
            shown_position(row.source, row.first_position),
        )
        for row in audit.rejected
    ]
    names = ("ingest day", "source", "reason", "rows", "first at")
    section("Rejected rows of these sources, whatever day they would be of", names, rows, (3, 4), out)


def _listed(audit: DayAudit, currency: str, out: TextIO) -> None:
    snapshot = audit.snapshot
    counts = (
        ("conflicts: other content under an id of the day", snapshot.conflicts),
        ("ids that stand on another day too", snapshot.ids_on_two_days),
        ("clicks without a job", snapshot.clicks_without_job),
        ("clicks without a bid", snapshot.clicks_without_bid),
        ("events with the time of receipt", snapshot.fallback_times),
    )
    section("To know of", ("what", "events"), [(what, f"{count:,}") for what, count in counts], (1,), out)
    rows = [
        (row.reason, row.create_time, shown_source(row.source), shown_position(row.source, row.position))
        for row in audit.listed
    ]
    left = snapshot.conflicts + snapshot.ids_on_two_days - len(rows)
    section("Conflicts and ids on two days", ("reason", "create_time", "source", "position"), rows, (3,), out)
    if left:
        out.write(f"and {left:,} more, in {audit.snapshot.listing.key if audit.snapshot.listing else ''}\n")


def _loads(audit: DayAudit, currency: str, out: TextIO) -> None:
    spend = output.money([load.row.spend_micros for load in audit.loads])
    changed = output.money([load.changes[2] for load in audit.loads])
    rows = [
        (
            f"{load.row.loaded_at:%Y-%m-%d %H:%M:%S}",
            f"{load.row.manifest}",
            f"{load.row.rows:,}",
            f"{load.row.clicks:,}",
            total,
            f"{load.changes[0]:+,}",
            f"{load.changes[1]:+,}",
            _signed(change),
            shown_source("; ".join(load.why)),
            f"{load.row.dim_version}",
            load.row.code_version,
            load.row.run_id,
        )
        for load, total, change in zip(audit.loads, spend, changed, strict=True)
    ]
    figures = ("rows", "clicks", f"spend, {currency}", "rows ±", "clicks ±", "spend ±")
    names = ("loaded at, UTC", "manifest", *figures, "why", "dim_jobs", "code", "run")
    section("Loads, and what each changed", names, rows, (*range(1, 8), 9), out)


def _bookings(audit: DayAudit, currency: str, out: TextIO) -> None:
    spend = output.money([booking.row.spend_micros for booking in audit.bookings])
    rows = [
        (
            f"{booking.row.booked_at:%Y-%m-%d %H:%M:%S}",
            f"{booking.row.manifest}",
            f"{booking.row.number}",
            f"{booking.row.rows:,}",
            f"{booking.row.clicks:+,}",
            _signed(money),
            "yes" if booking.in_force else "",
            booking.row.run_id,
        )
        for booking, money in zip(audit.bookings, spend, strict=True)
    ]
    names = ("booked at, UTC", "of manifest", "number", "rows", "clicks ±", f"spend ±, {currency}", "in force", "run")
    section("Adjustments, each instead of the one before", names, rows, range(1, 6), out)


def _signed(money: str) -> str:
    return money if money.startswith("-") else f"+{money}"


def _holds(holds: bool) -> str:
    return "yes" if holds else "NO"
