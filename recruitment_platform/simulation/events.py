"""Tracking events as the simulator intends them: typed columns, and beside them what the facts must make of each.

What belongs here: what visitors do. What does not: how it is written down (`encoding`), or what goes wrong on the way
(`faults`). An *intent* is one row: the tracking columns typed (`bid` in micros, `ts` in microseconds since 1970), and
the columns of `INTENT` that start where theirs end.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recruitment_platform.model.contract import TRACKING, Column
from recruitment_platform.simulation.chance import guided
from recruitment_platform.simulation.habits import CHOSEN, PAGES, SITE, UNKNOWN_SHARE, habits
from recruitment_platform.simulation.market import NONE, Ints, Market, terms_at
from recruitment_platform.simulation.record import Simulation
from recruitment_platform.simulation.text import from_bytes, of_dictionary, pooled, spelled, with_hex_digits, with_nulls
from recruitment_platform.simulation.times import client_times, day_count, event_times, microseconds, receive_ticks

FIRST, DUPLICATE, CONFLICT = 0, 1, 2
"""What an arrival is to its event: the content that counts, the same again, or other content that does not count."""

OWN_TEXTS = frozenset({"create_time", "ed", "uid"})
"""Text columns whose values seldom come again; the others are dictionaries."""

CODED = pa.dictionary(pa.int32(), pa.string())


def _type(column: Column) -> pa.DataType:
    if column.type.kind != "text":
        return pa.int64()
    return pa.string() if column.name in OWN_TEXTS else CODED


TYPED = pa.schema(pa.field(column.name, _type(column)) for column in TRACKING.columns)

INTENT = pa.schema(
    [
        *TYPED,
        pa.field("arrived", pa.int64()),  # where the row stands among the day's rows
        pa.field("received", pa.int64()),  # time in create_time
        pa.field("event", pa.int64()),  # event time (rule 2)
        pa.field("kind", pa.int8()),  # index into KINDS
        pa.field("job", pa.int64()),  # resolved (rule 4), null where unknown
        pa.field("publisher", pa.int64()),
        pa.field("arrival", pa.int8()),
        pa.field("spend", pa.int64()),  # micros that this arrival adds to the truth
        pa.field("reason", CODED),  # why it must be rejected, null where it must not
        pa.field("raw_column", CODED),  # column in which something else arrives than is intended
        pa.field("raw_text", CODED),
    ],
)

TICKS_BEFORE_1970 = 0x01B21DD213814000
"""From the Gregorian calendar's first day to 1970, in the 100 ns of a TimeUUID (RFC 9562)."""

BLOCK = 180_000
"""Events of a block before any is added: one batch of the lake, and what is held in memory at a time."""

STREAMS = ("main", "duplicates", "conflicts", "malformed", "text")


@dataclass(frozen=True)
class Block:
    """A part of a day's traffic, made on its own: the `number`-th of `of` blocks, which follow each other in time."""

    simulation: Simulation
    market: Market
    day: date
    number: int
    of: int
    count: int

    def rng(self, stream: str) -> np.random.Generator:
        """Random numbers that depend on seed, day, block and stream, and on nothing else."""
        place = [self.simulation.seed, 1, self.day.toordinal(), self.number, STREAMS.index(stream)]
        return np.random.default_rng(place)


def blocks(simulation: Simulation, market: Market, day: date) -> list[Block]:
    """The blocks of the day, in the order of time."""
    total = day_count(simulation, day)
    of = -(-total // BLOCK)
    edges = [total * number // of for number in range(of + 1)]
    return [Block(simulation, market, day, number, of, edges[number + 1] - edges[number]) for number in range(of)]


def time_uuids(ticks: Ints, clock: int, nodes: npt.NDArray[np.uint64]) -> pa.Array:
    """Version 1 UUIDs of these times (100 ns since 1970), as lower case text."""
    stamp = (ticks + TICKS_BEFORE_1970).astype(np.uint64)
    low, middle, high = (
        stamp & np.uint64(0xFFFFFFFF),
        stamp >> np.uint64(32) & np.uint64(0xFFFF),
        stamp >> np.uint64(48),
    )
    first = low << np.uint64(32) | middle << np.uint64(16) | high | np.uint64(0x1000)
    last = (np.uint64(0x8000 | clock) << np.uint64(48)) | nodes
    return with_hex_digits("00000000-0000-0000-0000-000000000000", first, last)


def intended(block: Block, stream: str, count: int) -> pa.Table:
    """So many events of the block, as `INTENT`, by receive time; ids are unique among all days, blocks and streams."""
    from recruitment_platform.simulation.visits import NODES, details, eds, happenings

    simulation, market = block.simulation, block.market
    rng = block.rng(stream)
    span = (block.number / block.of, (block.number + 1) / block.of)
    ticks = receive_ticks(rng, simulation, block.day, span, count)
    received = ticks // 10
    client = client_times(rng, simulation, block.day, received)
    event = event_times(simulation, client, received)
    what = happenings(
        rng,
        count,
        habits(),
        guided(tuple(market.busy_weights.tolist())),
        market.job_ids[market.busy],
        market.job_ids,
        market.strangers,
        UNKNOWN_SHARE if "unknown_jobs" in simulation.faults else 0.0,
    )
    changed_at = simulation.changed_at
    changed = np.zeros(count, bool) if changed_at is None else event >= microseconds(changed_at)
    terms = terms_at(market, what.job, changed)
    said = details(
        rng,
        what,
        habits(),
        terms.campaign_id,
        terms.group_id,
        market.campaign_ids,
        market.group_ids,
        market.publisher_ids,
        max(40, simulation.events_per_day // 5),
        simulation.seed % 2**32,
        len(PAGES),
    )
    nodes = rng.integers(0, 1 << 47, NODES, dtype=np.uint64)[said.node] | np.uint64(1 << 40)
    clock = STREAMS.index(stream) << 10 | block.number % 1024
    names = [name for columns in CHOSEN.values() for name in columns]
    columns = {
        "create_time": time_uuids(ticks, clock, nodes),
        "bid": said.bid,
        "campaign_id": said.campaign_id,
        "cd": said.cd,
        "dl": spelled(what.job, said.page_form, _page, instead=[SITE + page for page in PAGES], which=said.page),
        "ed": from_bytes(*eds(rng, what, said.publisher, habits())),
        "ev": np.where(what.kind == 0, 1, 2),
        "group_id": said.group_id,
        "job_id": what.job_id,
        "publisher_id": said.publisher_id,
        "ts": client,
        "tz": said.tz,
        "uid": with_hex_digits("1-00000000-00000000", said.visitor),
        "v": np.ones(count, np.int64),
        **{name: _coded(name, codes) for name, codes in zip(names, said.codes, strict=True)},
        "arrived": received,
        "received": received,
        "event": event,
        "kind": what.kind.astype(np.int8),
        "job": what.job,
        "publisher": said.publisher,
        "arrival": np.full(count, FIRST, np.int8),
        "spend": said.spend,
    }
    return pa.table([_column(columns.get(field.name), field, count) for field in INTENT], schema=INTENT)


def _column(values: pa.Array | npt.NDArray[np.integer] | None, field: pa.Field, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, field.type)
    return with_nulls(values, values != NONE) if isinstance(values, np.ndarray) else values


def _coded(name: str, codes: npt.NDArray[np.int32]) -> pa.DictionaryArray:
    """The texts of that column of `CHOSEN`."""
    (texts,) = (columns[name] for columns in CHOSEN.values() if name in columns)
    return of_dictionary(with_nulls(codes, codes >= 0), pooled(tuple(texts))[1])


def _page(job: int, form: int) -> str:
    """The address of the job's page."""
    return f"{SITE}/job/{job * 2654435761 % 2**32:08x}?param1={job}&param2={form}"
