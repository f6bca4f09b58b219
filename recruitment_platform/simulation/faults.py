"""What goes wrong on the way, each fault with its truth: rows added to a block of the traffic.

- `duplicates`: rows that arrive again, on the same day and on the next one, partly spelled otherwise.
- `conflicts`: rows of the same id and event day with other content, on the same day and on the next one; the smallest
  `payload_hash` counts. Some have the same id on another event day: second events by design.
- `malformed`: rows that the door must reject, and rows with unreadable fields for which it must not.
- `late`, `clock_skew` (`times`), `unknown_jobs` (`events`), `job_changes` (`market`) alter what is there instead.

What does not belong here: the facts that all this must lead to (`truth`).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from recruitment_platform.model.contract import TRACKING
from recruitment_platform.simulation.events import (
    CLICKS,
    CONFLICT,
    DUPLICATE,
    FIRST,
    INTENT,
    KINDS,
    Block,
    blocks,
    intended,
    time_uuids,
)
from recruitment_platform.simulation.market import NONE
from recruitment_platform.simulation.times import DAY, HOUR, SECOND, event_times, local_days_hours, microseconds

Row = dict[str, Any]

MASK = 2**64 - 1
PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
"""XXH64's."""

MOST_ADDED = 2_000
"""Rows of a fault that a block gets at most: each is made on its own, in Python."""


def added(block: Block) -> list[pa.Table]:
    """The rows, as `INTENT`, that faults add to this block, those that come again from the day before included."""
    faults = block.simulation.faults
    tables = []
    if "duplicates" in faults:
        tables += _duplicates(block)
    if "conflicts" in faults:
        tables.append(_conflicts(block))
    if "malformed" in faults:
        tables.append(_malformed(block))
    return tables


def _size(block: Block, share: float) -> int:
    return min(MOST_ADDED, max(len(MALFORMED), int(block.count * share)))


def _eve(block: Block) -> Block | None:
    """The block of this number of the day before; None before the opening, or where that day had fewer blocks."""
    if block.day <= block.simulation.opening:
        return None
    eve = blocks(block.simulation, block.market, block.day - timedelta(days=1))
    return eve[block.number] if block.number < len(eve) else None


def _duplicates(block: Block) -> list[pa.Table]:
    """Half of the stream's events come again on their day, the others on the next one."""

    def again(rows: pa.Table, arrived: pa.Array) -> pa.Table:
        count = len(rows)
        changed = {
            "arrived": arrived,
            "arrival": pa.array(np.full(count, DUPLICATE, np.int8)),
            "spend": pa.array(np.zeros(count, np.int64)),
        }
        for name, values in changed.items():
            rows = rows.set_column(rows.schema.get_field_index(name), INTENT.field(name), values)
        return rows

    events = intended(block, "duplicates", _size(block, 0.02))
    half = len(events) // 2
    # Every other one follows at once, the rest within the hour.
    delay = np.where(np.arange(half) % 2 == 0, 1, np.arange(half) * SECOND % HOUR)
    same_day = events.slice(0, half)
    tables = [events, again(same_day, pa.array(same_day["received"].to_numpy() + delay))]
    eve = _eve(block)
    if eve is not None:
        former = intended(eve, "duplicates", _size(eve, 0.02))
        next_day = former.slice(len(former) // 2)
        tables.append(again(next_day, pa.array(next_day["received"].to_numpy() + DAY)))
    return tables


def _conflicts(block: Block) -> pa.Table:
    today = _conflicting(block)
    rows = [row for row, next_day in today if not next_day]
    eve = _eve(block)
    if eve is not None:
        rows += [{**row, "arrived": row["arrived"] + DAY} for row, next_day in _conflicting(eve) if next_day]
    return pa.Table.from_pylist(rows, INTENT)


def _conflicting(block: Block) -> list[tuple[Row, bool]]:
    """(row, whether it arrives on the next day): contents of the same ids, judged."""
    judged: list[tuple[Row, bool]] = []
    for number, row in enumerate(intended(block, "conflicts", _size(block, 0.004)).to_pylist()):
        click = _as_click(row)
        dearer = _with_bid(click, (click["bid"] or 0) + 1_250_000 + number)
        other_job = {**click, "job_id": 0, "job": 0, "ua": "curl/8.4.0"}
        alive = {**click, "custom_track": "alive", "kind": KINDS.index("alive"), "spend": 0}
        match number % 6:
            case 0:
                judged += [(version, False) for version in _judged(block, [click, dearer])]
            case 1:
                judged += [(version, False) for version in _judged(block, [click, other_job, alive])]
            case 2:
                judged += [(version, False) for version in _judged(block, [alive, dearer])]
            case 3:
                judged += [(version, False) for version in _judged(block, [click, _hours_before(block, click, 2)])]
            case 4:
                judged += [(version, False) for version in _judged(block, [click, _hours_before(block, click, 26)])]
            case _:
                judged += _judged_later(click, dearer)
    return judged


def _as_click(row: Row) -> Row:
    click = {**row, "custom_track": "click", "kind": CLICKS[0]}
    return _with_bid(click, row["bid"])


def _with_bid(click: Row, micros: int | None) -> Row:
    return {**click, "bid": micros, "spend": micros or 0}


def _hours_before(block: Block, click: Row, hours: int) -> Row:
    """The same id with a client's time so many hours before, though not before the opening."""
    opened = microseconds(block.simulation.opened_at)
    client = max(click["event"] - hours * HOUR, opened)
    return {**click, "ts": client, "event": _event_time(block, client, click["received"])}


def _event_time(block: Block, client: int | None, received: int) -> int:
    clients = np.array([NONE if client is None else client])
    return int(event_times(block.simulation, clients, np.array([received]))[0])


def _judged(block: Block, versions: list[Row]) -> list[Row]:
    """Rule 1 for contents of one id that arrive on one day: of each event day, the smallest hash counts."""
    days, _ = local_days_hours(np.array([version["event"] for version in versions]), block.simulation.zone)
    hashes = [payload_hash(version) for version in versions]
    judged: list[Row] = []
    for position, (version, day, own) in enumerate(zip(versions, days, hashes, strict=True)):
        rivals = [other for other, rival_day in zip(hashes, days, strict=True) if rival_day == day]
        if own in hashes[:position]:
            arrival = DUPLICATE
        elif own == min(rivals):
            arrival = FIRST
        else:
            arrival = CONFLICT
        judged.append({**version, "arrival": arrival, "spend": version["spend"] if arrival == FIRST else 0})
    return judged


def _judged_later(click: Row, dearer: Row) -> list[tuple[Row, bool]]:
    """Rule 1 for a content that arrives on the next day, and differs by its bid alone.

    Until then the first one counts. Where the second one wins, it adds what its bid is more than the first one's:
    truths of receive days add up, whatever days are simulated so far.
    """
    more = dearer["spend"] - click["spend"] if payload_hash(dearer) < payload_hash(click) else 0
    return [(click, False), ({**dearer, "arrival": CONFLICT, "spend": more}, True)]


def payload_hash(row: Mapping[str, Any]) -> int:
    """Rule 1's hash of an intent's 29 columns, as a signed 64-bit integer.

    What `model.door_hash` defines, in plain Python, written apart from it, so that one shows what is wrong with the
    other. Money is in micros, time in microseconds since 1970.
    """
    state = PRIMES[4] + 8 * len(TRACKING.columns)
    for column in TRACKING.columns:
        state = _with_word(state, _value_hash(row[column.name]))
    hashed = _avalanche(state)
    return hashed - 2**64 if hashed >= 2**63 else hashed


@lru_cache(maxsize=10_000)
def _value_hash(value: str | int | None) -> int:
    if value is None or value == "":
        return 0
    return xxh64(value.encode() if isinstance(value, str) else value.to_bytes(8, "little", signed=True))


def xxh64(octets: bytes) -> int:
    """XXH64 of the bytes, with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md)."""
    stripes = len(octets) // 32
    state = PRIMES[4]
    if stripes:
        lanes = [PRIMES[0] + PRIMES[1], PRIMES[1], 0, -PRIMES[0]]
        for words in struct.iter_unpack("<4Q", octets[: 32 * stripes]):
            lanes = [_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
        state = sum(_rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True))
        for lane in lanes:
            state = (state ^ _round(0, lane)) * PRIMES[0] + PRIMES[3]
    state += len(octets)
    rest = octets[32 * stripes :]
    while len(rest) >= 8:
        state = _with_word(state, int.from_bytes(rest[:8], "little"))
        rest = rest[8:]
    if len(rest) >= 4:
        state = _rotated(state ^ int.from_bytes(rest[:4], "little") * PRIMES[0], 23) * PRIMES[1] + PRIMES[2]
        rest = rest[4:]
    for octet in rest:
        state = _rotated(state ^ octet * PRIMES[4], 11) * PRIMES[0]
    return _avalanche(state)


def _round(lane: int, word: int) -> int:
    return _rotated(lane + word * PRIMES[1], 31) * PRIMES[0] & MASK


def _with_word(state: int, word: int) -> int:
    return _rotated(state ^ _round(0, word), 27) * PRIMES[0] + PRIMES[3] & MASK


def _rotated(number: int, bits: int) -> int:
    number &= MASK
    return (number << bits | number >> 64 - bits) & MASK


def _avalanche(state: int) -> int:
    for bits, prime in ((33, PRIMES[1]), (29, PRIMES[2]), (32, 1)):
        state &= MASK
        state = (state ^ state >> bits) * prime
    return state & MASK


@dataclass(frozen=True)
class Malady:
    """A text in a column that cannot be taken as it is; `reason` is why the row must be rejected, None where not.

    `needs` are intents that the row must have for this.
    """

    column: str
    text: str
    reason: str | None = None
    needs: Mapping[str, Any] | None = None


def _ed(text: str, *, job_id: int | None, reason: str | None = None) -> Malady:
    """An `ed` that names no job or publisher, in an event whose `job_id` is this."""
    resolved = {"ed": text, "job_id": job_id, "job": job_id, "publisher_id": None, "publisher": None}
    return Malady("ed", text, reason, resolved)


def _uuid_of(year: int) -> str:
    ticks = microseconds(datetime(year, 2, 3, 4, 5, tzinfo=UTC)) * 10
    return str(time_uuids(np.array([ticks]), 77, np.array([0x0123456789AB], np.uint64))[0])


NOT_A_TIME_UUID = "create_time is not a TimeUUID"

MALFORMED = (
    Malady("create_time", "", "create_time is missing"),
    Malady("create_time", "not an id", NOT_A_TIME_UUID),
    Malady("create_time", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", NOT_A_TIME_UUID),
    Malady("create_time", "6ba7b810-9dad-11d1-c0b4-00c04fd430c8", NOT_A_TIME_UUID),
    Malady("create_time", "6ba7b8109dad11d180b400c04fd430c8", NOT_A_TIME_UUID),
    Malady("create_time", _uuid_of(2600), "create_time lies in the future"),
    Malady("create_time", _uuid_of(1601), "event day is before the first day"),
    Malady("job_id", "abc", "job_id is not an integer"),
    Malady("job_id", "12.5", "job_id is not an integer"),
    Malady("job_id", "99999999999", "job_id is not an integer"),
    Malady("publisher_id", "4,1,2,3,5", "publisher_id is not an integer"),
    Malady("campaign_id", "1e3", "campaign_id is not an integer"),
    Malady("group_id", "true", "group_id is not an integer"),
    Malady("bid", "-1.0", "bid is negative"),
    Malady("bid", "0.1234567", "bid has more than 6 decimals"),
    Malady("bid", "free", "bid is not a number"),
    Malady("bid", "1000000000000", "bid is too large"),
    _ed('{"customEvent":"click","jobId":"abc"}', job_id=None, reason="jobId in ed is not an integer"),
    _ed('{"customEvent":"click","jobId":"1.5"}', job_id=None, reason="jobId in ed is not an integer"),
    _ed('{"customEvent":"click","jobId":"abc"}', job_id=7),
    _ed('{"customEvent":"click","jobId":', job_id=7),
    _ed('["jobId", 9]', job_id=None),
    _ed("click", job_id=None),
    Malady("bid", "-0.0", needs={"bid": 0, "spend": 0}),
    Malady("tz", "UTC+7"),
    Malady("v", "one"),
    Malady("cd", "24 bit"),
    Malady("ev", "1e400"),
    Malady("ua", "Mozilla/5.0 (compatible; ĉrawler; " + "x" * 3_000 + ")"),
    Malady("ts", "yesterday", needs={"ts": None}),
    Malady("ts", "2024-13-45 25:61:00", needs={"ts": None}),
    Malady("ts", "99999999999999999999999", needs={"ts": None}),
)


def _malformed(block: Block) -> pa.Table:
    rows = intended(block, "malformed", _size(block, 0.01)).to_pylist()
    return pa.Table.from_pylist([_ill(block, row, number) for number, row in enumerate(rows)], INTENT)


def _ill(block: Block, row: Row, number: int) -> Row:
    malady = MALFORMED[number % len(MALFORMED)]
    raw = {"raw_column": malady.column, "raw_text": malady.text, "reason": malady.reason}
    ill = {**_as_click(row), **(malady.needs or {}), **raw}
    return {**ill, "event": _event_time(block, ill["ts"], ill["received"])}
