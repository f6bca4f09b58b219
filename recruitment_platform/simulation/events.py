"""Tracking events as the simulator intends them: typed columns, and beside them what the facts must make of each.

What belongs here: what visitors do. What does not: how it is written down (`encoding`), or what goes wrong on the way
(`faults`). An *intent* is one row: the tracking columns typed (`bid` in micros, `ts` in microseconds since 1970), and
the columns of `INTENT` that start where theirs end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recruitment_platform.model.contract import TRACKING, Column
from recruitment_platform.simulation.chance import chosen
from recruitment_platform.simulation.market import NONE, Ints, Market, terms_at
from recruitment_platform.simulation.record import Simulation
from recruitment_platform.simulation.text import joined, picked, placed, spelled, with_hex_digits
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

KIND_SHARES = {
    "": 0.519,
    "click": 0.316,
    "clicks": 0.004,
    "alive": 0.12,
    "conversion": 0.02,
    "unqualified": 0.012,
    "interview_scheduled": 0.005,
    "qualified": 0.003,
    "redirect": 0.0005,
    "superpixel": 0.0005,
}
KINDS = tuple(KIND_SHARES)
CLICKS = (KINDS.index("click"), KINDS.index("clicks"))

NOWHERE, COLUMN, BOTH, ED, CONTRADICTORY = range(5)
"""Where an event carries its job: in `job_id`, in `ed`, in both alike, or in both and differently."""

CARRIERS: Mapping[str, tuple[float, float, float, float, float]] = {
    "": (0.72, 0.28, 0, 0, 0),
    "click": (0.003, 0.05, 0.377, 0.56, 0.01),
    "clicks": (0.003, 0.05, 0.377, 0.56, 0.01),
    "alive": (0.05, 0.01, 0, 0.94, 0),
    "conversion": (0.1, 0.05, 0.15, 0.7, 0),
    "unqualified": (0.1, 0.1, 0.15, 0.65, 0),
    "interview_scheduled": (0, 0, 0.1, 0.9, 0),
    "qualified": (0, 0.5, 0.2, 0.3, 0),
    "redirect": (1, 0, 0, 0, 0),
    "superpixel": (1, 0, 0, 0, 0),
}

BIDS = {0: 0.48, 1_000_000: 0.32, 2_000_000: 0.17, 7_000_000: 0.02, 350_000: 0.004, 1_255_000: 0.003, 1: 0.003}
"""Micros and their shares, where an event has a bid; 1.255 and 0.000001 show whether money is exact."""

UNKNOWN_SHARE = 0.03

SITE = "https://www.recruitment.example/candidate-portal"
PAGES = (
    "/",
    "/job",
    "/job?what=developer&where=",
    "/profile",
    "/messages",
    "/job?what=k%E1%BA%BF%20to%C3%A1n",
    "/about",
)
TITLES = (
    "CandidatePortal",
    "Find a job, find a team",
    'Careers at "North & Sons"',
    "Tìm việc làm — kế toán",
    "求人\t一覧",
)

DEVICES = tuple(
    (f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) {agent}", name, depth, screen, view, mobile)
    for system, screen, view, depth, mobile in (
        ("Windows NT 10.0; Win64; x64", "1920x1080", "1920x944", 24, "false"),
        ("Windows NT 10.0; Win64; x64", "1366x768", "1366x625", 24, "false"),
        ("Macintosh; Intel Mac OS X 10_15_7", "1440x900", "1440x797", 30, "false"),
        ("X11; Linux x86_64", "1920x1080", "1920x976", 24, "false"),
        ("Linux; Android 13; SM-A536E", "412x915", "412x780", 24, "true"),
        ("iPhone; CPU iPhone OS 16_5 like Mac OS X", "390x844", "390x664", 32, "true"),
    )
    for agent, name in (
        ("Chrome/118.0.0.0 Safari/537.36", "Chrome 118"),
        ("Chrome/117.0.0.0 Safari/537.36 Edg/117.0.2045.60", "Edge 117"),
        ("Version/16.5 Safari/604.1", "Safari 16"),
        ("Chrome/96.0.4664.45 Safari/537.36", "Chrome 96"),
    )
)
"""(ua, bn, cd, sr, vp, md) of the devices in use."""

OFFSETS = (-420,) * 40 + (0, 0, 240, -330, -600, 300)
UTM = (None,) * 60 + ("newsletter", "autumn fair", "html", "tuyển dụng")

USERS = ("", *(f',"userId":{user}' for user in range(1, 5_000)))
"""What the custom event says of who is logged in, if anyone is."""

OLDER = '{"customevent":"detail","jobid":5}'
"""The whole custom event of an older pixel."""

TICKS_BEFORE_1970 = 0x01B21DD213814000
"""From the Gregorian calendar's first day to 1970, in the 100 ns of a TimeUUID (RFC 9562)."""

BLOCK = 90_000
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
    simulation, market = block.simulation, block.market
    rng = block.rng(stream)
    span = (block.number / block.of, (block.number + 1) / block.of)
    ticks = receive_ticks(rng, simulation, block.day, span, count)
    received = ticks // 10
    client = client_times(rng, simulation, block.day, received)
    event = event_times(simulation, client, received)
    kind = chosen(rng, tuple(KIND_SHARES.values()), count)
    job, job_in_ed, carrier = _jobs(rng, simulation, market, kind)
    in_column = (carrier != NOWHERE) & (carrier != ED)
    resolved_job = np.where(carrier == ED, job_in_ed, np.where(in_column, job, NONE))
    changed_at = simulation.changed_at
    changed = np.zeros(count, bool) if changed_at is None else event >= microseconds(changed_at)
    terms = terms_at(market, resolved_job, changed)

    publisher = _publishers(rng, market, count)
    has_ed = np.where(kind == 0, False, (carrier >= BOTH) | (rng.random(count) < 0.985))
    ed, publisher_in_ed = _custom_events(rng, kind, job_in_ed, publisher, has_ed)
    publisher_id = np.where(in_column, publisher, NONE)
    resolved_publisher = np.where(publisher_id == NONE, publisher_in_ed, publisher_id)

    bid = np.array(list(BIDS))[chosen(rng, tuple(BIDS.values()), count)]
    bid[~in_column & (rng.random(count) < 0.9)] = NONE
    visitor = (rng.random(count) ** 2 * max(40, simulation.events_per_day // 5)).astype(np.int64)
    nodes = rng.integers(0, 1 << 47, 24, dtype=np.uint64)[rng.integers(0, 24, count)] | np.uint64(1 << 40)
    clock = STREAMS.index(stream) << 10 | block.number % 1024
    columns = {
        "create_time": time_uuids(ticks, clock, nodes),
        "bid": bid,
        "campaign_id": _said(rng, terms.campaign_id, market.campaign_ids, in_column, shares=(0.965, 0.02, 0.005)),
        "custom_track": picked([name or None for name in KINDS], kind),
        "ed": ed,
        "ev": np.where(kind == 0, 1, 2),
        "group_id": _said(rng, terms.group_id, market.group_ids, in_column, shares=(0.93, 0.02, 0.01)),
        "job_id": np.where(in_column, job, NONE),
        "publisher_id": publisher_id,
        "ts": client,
        "v": np.ones(count, np.int64),
        **_surroundings(rng, simulation, visitor, resolved_job),
        "arrived": received,
        "received": received,
        "event": event,
        "kind": kind.astype(np.int8),
        "job": resolved_job,
        "publisher": resolved_publisher,
        "arrival": np.full(count, FIRST, np.int8),
        "spend": np.where(np.isin(kind, CLICKS) & (bid != NONE), bid, 0),
    }
    return pa.table([_column(columns.get(field.name), field, count) for field in INTENT], schema=INTENT)


def _column(values: pa.Array | npt.NDArray[np.integer] | None, field: pa.Field, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, field.type)
    if isinstance(values, np.ndarray):
        is_none = values == NONE
        return pa.array(values, field.type, mask=is_none if is_none.any() else None)
    return values


def _jobs(
    rng: np.random.Generator,
    simulation: Simulation,
    market: Market,
    kind: npt.NDArray[np.int64],
) -> tuple[Ints, Ints, npt.NDArray[np.int64]]:
    """(job, job in `ed` or `NONE`, where the job is carried) of each event."""
    count = len(kind)
    job = market.job_ids[market.busy[chosen(rng, market.busy_weights.tolist(), count)]]
    if "unknown_jobs" in simulation.faults:
        last = int(market.job_ids[-1])
        gaps = np.setdiff1d(np.arange(1, last), market.job_ids)
        strangers = np.concatenate([gaps[:20], last + np.arange(1, 20), [0, -1, 2**31 - 1]])
        unknown = rng.random(count) < UNKNOWN_SHARE
        job[unknown] = rng.choice(strangers, unknown.sum())
    until = np.cumsum([CARRIERS[name] for name in KINDS], axis=1)
    carrier = (rng.random(count)[:, None] >= until[kind]).sum(axis=1).clip(max=CONTRADICTORY)
    other = market.job_ids[rng.integers(0, len(market.job_ids), count)]
    in_ed = np.where((carrier == BOTH) | (carrier == ED), job, np.where(carrier == CONTRADICTORY, other, NONE))
    return job, in_ed, carrier


def _publishers(rng: np.random.Generator, market: Market, count: int) -> Ints:
    """One publisher carries 95 %; some events come from 0, some from none."""
    how = rng.random(count)
    others = market.publisher_ids[1 + rng.integers(0, len(market.publisher_ids) - 1, count)]
    return np.select([how < 0.95, how < 0.98, how < 0.99], [market.publisher_ids[0], others, 0], NONE)


def _said(
    rng: np.random.Generator,
    of_job: Ints,
    all_ids: Ints,
    in_column: npt.NDArray[np.bool_],
    shares: tuple[float, float, float],
) -> Ints:
    """What the event itself says: mostly its job's, some another, some an explicit 0, else nothing.

    Events without a job in the column seldom say anything.
    """
    how = rng.random(len(of_job)) + np.where(in_column, 0, shares[0])
    other = rng.choice(all_ids, len(of_job))
    until = np.cumsum(shares)
    return np.select([how < until[0], how < until[1], how < until[2]], [of_job, other, 0], NONE)


def _custom_events(
    rng: np.random.Generator,
    kind: npt.NDArray[np.int64],
    job: Ints,
    publisher: Ints,
    has_ed: npt.NDArray[np.bool_],
) -> tuple[pa.Array, Ints]:
    """(`ed`, the publisher that it names or `NONE`): the JSON text of the custom event, in the forms of real ones."""
    count = len(kind)
    job_forms = chosen(rng, (0.55, 0.43, 0.005, 0.005, 0.01), count)
    no_job = chosen(rng, (0.8, 0.1, 0.1), count)
    publisher_forms = rng.integers(0, 2, count)
    no_publisher = chosen(rng, (0.2, 0.6, 0.1, 0.1), count)
    users = rng.integers(1, len(USERS), count)
    users[rng.random(count) >= 0.5] = 0
    has_referrer = rng.random(count) < 0.01
    # Some page views come from an older pixel, whose lower case keys name nothing.
    is_older = (kind == 0) & (rng.random(count) < 0.005)
    rows = np.flatnonzero(has_ed | is_older)
    kind, older = kind[rows], is_older[rows]
    is_alive = kind == KINDS.index("alive")
    parts = [
        picked([*(f'{{"customEvent":"{name}"' for name in KINDS), OLDER], np.where(older, len(KINDS), kind)),
        # Only the first level counts: this job is another page's.
        picked(["", ',"referrer":{"jobId":999,"publisherId":9}'], (has_referrer[rows] & ~older).astype(np.int8)),
        spelled(
            np.where(older, NONE, job[rows]),
            job_forms[rows],
            _named("jobId", ('"{}"', "{}", '"{}.0"', " {} ", "{}.0")),
            instead=["", ',"jobId":null', ',"jobId":""'],
            which=np.where(older, 0, no_job[rows]),
        ),
        spelled(
            np.where(older, NONE, publisher[rows]),
            publisher_forms[rows],
            _named("publisherId", ('"{}"', "{}")),
            instead=["", ',"publisherId":"4,1,2,3,5"', ',"publisherId":null', ',"publisherId":"direct"'],
            which=np.where(older, 0, no_publisher[rows]),
        ),
        picked(USERS, np.where(older, 0, users[rows])),
        picked(["", ',"stayed_alive":30', ',"stayed_alive":60'], np.where(is_alive, 1 + job[rows] % 2, 0)),
        picked(["}", ""], older.astype(np.int8)),
    ]
    ed = placed(count, rows, joined(*(part.dictionary_decode() for part in parts)))
    return ed, np.where(has_ed, publisher, NONE)


@cache
def _named(key: str, forms: tuple[str, ...]) -> Callable[[int, int], str]:
    """How a member of that name is spelled, in each of these forms of its value."""
    return lambda value, form: f',"{key}":{forms[form].format(value)}'


def _page(job: int, form: int) -> str:
    """The address of the job's page."""
    return f"{SITE}/job/{job * 2654435761 % 2**32:08x}?param1={job}&param2={form}"


def _surroundings(
    rng: np.random.Generator,
    simulation: Simulation,
    visitor: Ints,
    job: Ints,
) -> dict[str, pa.Array | Ints]:
    """The columns that no fact uses: visitor, device, page."""
    count = len(visitor)
    mixed = visitor.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(simulation.seed % 2**32)
    mixed ^= mixed >> np.uint64(29)
    visitors = mixed * np.uint64(0xBF58476D1CE4E5B9)
    device = (mixed >> np.uint64(7)).astype(np.int64) % len(DEVICES)
    ua, bn, depth, sr, vp, md = zip(*DEVICES, strict=True)
    depths = np.array(depth)[device]
    depths[rng.random(count) < 0.01] = NONE
    page = rng.integers(0, len(PAGES), count)
    pages = spelled(
        job,
        rng.integers(0, 3, count),
        _page,
        instead=[SITE + page for page in PAGES],
        which=page,
    )
    utm = rng.integers(0, len(UTM), count)
    referrers = [None] * 8 + [SITE + page for page in PAGES]
    return {
        "uid": with_hex_digits("1-00000000-00000000", visitors),
        "ua": picked(ua, device),
        "bn": picked(bn, device),
        "cd": depths,
        "sr": picked(sr, device),
        "vp": picked(vp, device),
        "md": picked(md, device),
        "de": picked(["UTF-8", "utf-8", None], chosen(rng, (0.97, 0.02, 0.01), count)),
        "tz": np.array(OFFSETS)[visitor % len(OFFSETS)],
        "dl": pages,
        "dt": picked(TITLES, chosen(rng, (0.9, 0.04, 0.02, 0.03, 0.01), count)),
        "rl": picked(referrers, rng.integers(0, len(referrers), count)),
        "utm_source": picked(UTM, utm),
        "utm_medium": picked([None if name is None else "email" for name in UTM], utm),
        "utm_campaign": picked(UTM[::-1], utm),
    }
