"""Import of a file into the lake (tracking) or the relational store (the site's other tables).

What belongs here: what is taken in, once, whatever is killed or runs at the same time, and what is refused. What does
not: reading files (`readers`), the rules by which rows are judged (`model`), and mending refused rows (`rejected`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.ahead import made_ahead
from recruitment_platform.ingest.files import SourceFile, look_at
from recruitment_platform.ingest.readers import Batch, read_rows, read_tracking, row_content, row_contents, row_texts
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.model.door import DoorResult, DoorRules, through
from recruitment_platform.model.operational import GENERIC_TABLES, OPERATIONAL_TABLES, Value, parse_row
from recruitment_platform.resources.protocols import EventLake, RejectedRow, RelationalStore, SourceState
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.settings import Settings

IMPORTABLE = (TRACKING.name, *OPERATIONAL_TABLES, *GENERIC_TABLES)
"""Names of the tables that can be imported."""


@dataclass(frozen=True)
class ImportResult:
    """What came of a file's rows: `received` = `accepted` + `already_known` + `rejected`.

    `accepted` rows are new in the store, or changed there; `already_known` ones were there before; `rejected` ones are
    the file's rows that are not in use, whether this import or a former one refused them.
    """

    table: str
    path: Path
    source: str
    received: int
    accepted: int
    already_known: int
    rejected: int

    @property
    def succeeded(self) -> bool:
        """Whether the file brought at least one row that is in use."""
        return self.accepted + self.already_known > 0


@dataclass(frozen=True)
class _Judged:
    batch: Batch
    at: datetime
    result: DoorResult


def import_file(
    settings: Settings,
    lake: EventLake,
    relational: RelationalStore,
    table: str,
    path: Path,
    progress: Callable[[int], None],
) -> ImportResult:
    """Takes a file's rows into `table`; doing so again changes nothing, and goes on where a killed import stopped.

    `progress` is told how many more rows are done with. Raises InputError, having taken nothing in, for a table that is
    not known or a file that cannot be used.
    """
    if table not in IMPORTABLE:
        raise InputError(f"there is no table {table}; known are {', '.join(IMPORTABLE)}")
    file = look_at(path)
    if table == TRACKING.name:
        return _import_tracking(door_rules(settings), lake, file, progress)
    take_in = _take_in_operational if table in OPERATIONAL_TABLES else _take_in_generic
    return take_in(settings, lake, relational, table, file, progress)


def _import_tracking(
    rules: DoorRules, lake: EventLake, file: SourceFile, progress: Callable[[int], None]
) -> ImportResult:
    path = str(file.path.absolute())
    progress(_state(lake, file.source).received)
    after = lake.progress(file.source)
    accepted = 0
    registered = False
    # While the lake writes a batch, the door judges the next one, and the one behind that is read.
    with (
        made_ahead(read_tracking(file, after)) as batches,
        made_ahead(_judged(batch, rules, file.source) for batch in batches) as judged_batches,
    ):
        for judged in judged_batches:
            received = judged.batch.received
            while (rest := judged.batch.after(after)).received:
                if rest is not judged.batch:
                    judged = _judged(rest, rules, file.source)
                refused = refused_rows(
                    rest, judged.result.rejected, file.source, path, ingest_date(rules.time_zone, judged.at)
                )
                file.check_unchanged()
                if lake.append(
                    file.source,
                    accepted=judged.result.accepted,
                    rejected=refused,
                    after=after,
                    last_position=rest.last_position,
                    received=rest.received,
                ):
                    accepted += judged.result.accepted.num_rows
                # Where another import of the same content was faster, its rows are known by now.
                after = lake.progress(file.source)
            if not registered:
                lake.register_path(file.source, path)
                registered = True
            progress(received)
    if not registered:
        lake.register_path(file.source, path)
    state = _state(lake, file.source)
    return ImportResult(
        table=TRACKING.name,
        path=file.path,
        source=file.source,
        received=state.received,
        accepted=accepted,
        already_known=state.received - state.rejected - accepted,
        rejected=state.rejected,
    )


def _judged(batch: Batch, rules: DoorRules, source: str) -> _Judged:
    now = datetime.now(UTC)
    judged = _Judged(batch, now, judge(batch, rules, source, now))
    # Arrow would keep what it needed for this, for as long as the file lasts.
    pa.default_memory_pool().release_unused()
    return judged


def judge(batch: Batch, rules: DoorRules, source: str, now: datetime) -> DoorResult:
    """What the door says of the batch's rows, coded; malformed ones are not among them."""
    return through(batch.table, rules, source, batch.positions, now, coded=True)


def refused_rows(batch: Batch, judged: pa.Table, source: str, path: str, day: date) -> list[RejectedRow]:
    """The batch's malformed rows and those that the door rejected, by position; `day` is the ingest day."""
    refused = batch.table.filter(pc.is_in(batch.positions, value_set=judged.column("position").combine_chunks()))
    problems = [(row.position, row.reason, row.content) for row in batch.bad]
    problems += zip(
        judged.column("position").to_pylist(),
        judged.column("reason").to_pylist(),
        row_contents(refused),
        strict=True,
    )
    return [
        RejectedRow(TRACKING.name, source, position, reason, content, day, path)
        for position, reason, content in sorted(problems)
    ]


def _state(lake: EventLake, source: str) -> SourceState:
    for state in lake.sources():
        if state.source == source:
            return state
    return SourceState(source, (), last_position=0, received=0, accepted=0, rejected=0)


def _take_in_operational(
    settings: Settings,
    lake: EventLake,
    relational: RelationalStore,
    table: str,
    file: SourceFile,
    progress: Callable[[int], None],
) -> ImportResult:
    # In one transaction: these tables are read whole anyway, and joined with one another.
    rows: list[dict[str, Value]] = []
    problems: list[tuple[int, str, str]] = []
    for batch in read_rows(file, required="id"):
        problems += ((bad.position, bad.reason, bad.content) for bad in batch.bad)
        for position, values in zip(batch.positions.to_pylist(), row_texts(batch.table), strict=True):
            try:
                rows.append(parse_row(table, values))
            except ValueError as error:
                problems.append((position, str(error), row_content(values)))
        progress(batch.received)
    file.check_unchanged()
    _reject(settings, lake, table, file, problems)
    changed = relational.upsert(table, rows) if rows else 0
    return _result(table, file, accepted=changed, good=len(rows), rejected=len(problems))


def _take_in_generic(
    settings: Settings,
    lake: EventLake,
    relational: RelationalStore,
    table: str,
    file: SourceFile,
    progress: Callable[[int], None],
) -> ImportResult:
    new = good = rejected = 0
    for batch in read_rows(file):
        problems = [(bad.position, bad.reason, bad.content) for bad in batch.bad]
        texts = []
        for position, values in zip(batch.positions.to_pylist(), row_texts(batch.table), strict=True):
            try:
                texts.append(generic_text(values))
            except ValueError as error:
                problems.append((position, str(error), row_content(values)))
        file.check_unchanged()
        _reject(settings, lake, table, file, problems)
        new += relational.store_generic(table, texts) if texts else 0
        good += len(texts)
        rejected += len(problems)
        progress(batch.received)
    return _result(table, file, accepted=new, good=good, rejected=rejected)


def generic_text(values: Mapping[str, str]) -> str:
    """The text under which a generic table's row is kept: the same whatever order the file has its columns in.

    Raises ValueError where no value is given.
    """
    if not values:
        raise ValueError("has no value")
    return row_content(dict(sorted(values.items())))


def _reject(
    settings: Settings, lake: EventLake, table: str, file: SourceFile, problems: Iterable[tuple[int, str, str]]
) -> None:
    day = ingest_date(settings.time_zone, datetime.now(UTC))
    path = str(file.path.absolute())
    rows: Sequence[RejectedRow] = [
        RejectedRow(table, file.source, position, reason, content, day, path)
        for position, reason, content in sorted(problems)
    ]
    if rows:
        lake.reject(rows)


def ingest_date(time_zone: str, now: datetime) -> date:
    """The day on which what comes in at that instant comes in."""
    return now.astimezone(ZoneInfo(time_zone)).date()


def _result(table: str, file: SourceFile, *, accepted: int, good: int, rejected: int) -> ImportResult:
    return ImportResult(
        table=table,
        path=file.path,
        source=file.source,
        received=good + rejected,
        accepted=accepted,
        already_known=good - accepted,
        rejected=rejected,
    )
