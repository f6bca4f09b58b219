"""Rejected rows, out and in again: written so that a person can mend them in place, and replayed once mended.

What belongs here: the text form of rejected rows, and how mended ones go through the door a second time, keeping their
source and position. What does not: why rows are rejected (`model`), and where they are kept (`resources`).
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

import pyarrow as pa

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.files import SourceFile, look_at
from recruitment_platform.ingest.importer import generic_text
from recruitment_platform.ingest.readers import UNPARSED, read_rows, row_texts
from recruitment_platform.ingest.records import json_value_text
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.model.door import DoorRules, through
from recruitment_platform.model.operational import OPERATIONAL_TABLES, Value, parse_row
from recruitment_platform.resources.protocols import EventLake, RejectedRow, RelationalStore
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.settings import Settings

ABOUT = ("table", "source", "path", "position", "reason", "ingest_date")
"""Columns that say which row it is, and why it was rejected; the row's own columns follow."""

Key = tuple[str, str, int]
"""Table, source and position: what a rejected row is known by."""

_Mended = tuple[RejectedRow, Mapping[str, str]]

_BATCH = 50_000
# Own columns that bear the name of one of `ABOUT` are written with this in front.
_OWN = "row."
_HOW_TO_MEND = f"put the values of {UNPARSED!r} into their columns and leave it empty"


@dataclass(frozen=True)
class ReplayResult:
    """What came of mended rows: `replayed` are in use now, `still_rejected` have the reason why they are not.

    `already_known` rows are not among the rejected: replayed before, or never rejected.
    """

    replayed: int
    still_rejected: tuple[RejectedRow, ...]
    already_known: int


def write_rejected(rows: Iterable[RejectedRow], out: TextIO, style: Literal["jsonl", "csv"]) -> int:
    """Writes rejected rows, one object a line or CSV with a header; returns how many.

    The columns are those of `ABOUT`, then the row's own as it came. A row whose form was wrong has its whole text in
    `unparsed`. Nothing but the own columns is to be mended.
    """
    count = 0
    if style == "jsonl":
        for row in rows:
            out.write(json.dumps(_flat(row), ensure_ascii=False) + "\n")
            count += 1
        return count
    flat = [_flat(row) for row in rows]
    own = {name for row in flat for name in row}.difference(ABOUT, (UNPARSED,))
    tracked = TRACKING.column_names if any(row["table"] == TRACKING.name for row in flat) else ()
    names = (*ABOUT, *tracked, *sorted(own.difference(tracked)), UNPARSED)
    writer = csv.DictWriter(out, names, restval="")
    writer.writeheader()
    writer.writerows(flat)
    return len(flat)


def _flat(row: RejectedRow) -> dict[str, str | int | None]:
    flat: dict[str, str | int | None] = {
        "table": row.table,
        "source": row.source,
        "path": row.path,
        "position": row.position,
        "reason": row.reason,
        "ingest_date": row.ingest_date.isoformat(),
    }
    for name, value in json.loads(row.content).items():
        clashes = name in ABOUT or name.startswith(_OWN)
        flat[_OWN + name if clashes else name] = json_value_text(value)
    return flat


def replay(settings: Settings, lake: EventLake, relational: RelationalStore, path: Path) -> ReplayResult:
    """Takes in rows that `write_rejected` wrote and a person mended, in either style.

    Rows keep their source and position. Those that are still wrong stay rejected. Raises InputError, having changed
    nothing, where the file is none of `write_rejected`'s.
    """
    file = look_at(path)
    for _ in _mended(file):
        # Read once before anything is changed: a file that its mending has broken is refused whole.
        pass
    outcomes = []
    for mended in _in_batches(_mended(file)):
        found = [(row, mended[_key(row)]) for row in lake.rejected() if _key(row) in mended]
        unparsed = (replace(row, reason=f"{row.reason}; {_HOW_TO_MEND}") for row, values in found if UNPARSED in values)
        outcomes.append(ReplayResult(0, tuple(unparsed), len(mended) - len(found)))
        tables: dict[str, list[_Mended]] = defaultdict(list)
        for row, values in found:
            if UNPARSED not in values:
                tables[row.table].append((row, values))
        for table, rows in tables.items():
            if table == TRACKING.name:
                outcomes.append(_replay_tracking(door_rules(settings), lake, rows))
            else:
                outcomes.append(_replay_other(lake, relational, table, rows))
    return ReplayResult(
        replayed=sum(outcome.replayed for outcome in outcomes),
        still_rejected=tuple(row for outcome in outcomes for row in outcome.still_rejected),
        already_known=sum(outcome.already_known for outcome in outcomes),
    )


def _replay_tracking(rules: DoorRules, lake: EventLake, rows: Sequence[_Mended]) -> ReplayResult:
    sources: dict[str, dict[int, _Mended]] = defaultdict(dict)
    for row, values in rows:
        sources[row.source][row.position] = (row, values)
    accepted = []
    still = []
    for source, mended in sources.items():
        columns = {
            name: pa.array([values.get(name) for _, values in mended.values()], pa.string())
            for name in TRACKING.column_names
        }
        judged = through(pa.table(columns), rules, source, pa.array(list(mended), pa.int64()), datetime.now(UTC))
        accepted.append(judged.accepted)
        still += [replace(mended[row["position"]][0], reason=row["reason"]) for row in judged.rejected.to_pylist()]
    good = pa.concat_tables(accepted)
    replayed = lake.replay(good) if good.num_rows else 0
    return ReplayResult(replayed, tuple(still), good.num_rows - replayed)


def _replay_other(lake: EventLake, relational: RelationalStore, table: str, rows: Sequence[_Mended]) -> ReplayResult:
    good = []
    typed: list[dict[str, Value]] = []
    texts: list[str] = []
    still = []
    for row, values in rows:
        try:
            if table in OPERATIONAL_TABLES:
                typed.append(parse_row(table, values))
            else:
                texts.append(generic_text(values))
            good.append(row)
        except ValueError as error:
            still.append(replace(row, reason=str(error)))
    if typed:
        relational.upsert(table, typed)
    if texts:
        relational.store_generic(table, texts)
    # Last: a replay that is killed in between does the same again.
    replayed = lake.settle(good) if good else 0
    return ReplayResult(replayed, tuple(still), len(good) - replayed)


def _key(row: RejectedRow) -> Key:
    return row.table, row.source, row.position


def _in_batches(mended: Iterator[tuple[Key, dict[str, str]]]) -> Iterator[dict[Key, dict[str, str]]]:
    batch: dict[Key, dict[str, str]] = {}
    for key, values in mended:
        batch[key] = values
        if len(batch) == _BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def _mended(file: SourceFile) -> Iterator[tuple[Key, dict[str, str]]]:
    """Each row's key and own values."""
    for batch in read_rows(file, required="position"):
        if batch.bad:
            bad = batch.bad[0]
            raise InputError(f"{file.path}: line {bad.position} {bad.reason}; nothing was replayed")
        for line, values in zip(batch.positions.to_pylist(), row_texts(batch.table), strict=True):
            position = values.get("position", "")
            if not (position.isascii() and position.isdigit() and values.get("table") and values.get("source")):
                raise InputError(
                    f"{file.path}: line {line} lacks table, source or position as `rejected list` wrote them;"
                    f" nothing was replayed"
                )
            key = (values["table"], values["source"], int(position))
            yield key, {name.removeprefix(_OWN): value for name, value in values.items() if name not in ABOUT}
