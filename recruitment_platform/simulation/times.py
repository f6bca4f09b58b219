"""When things happen: receive times with the site's rhythm, clients' clocks, and the platform's days and hours.

All instants are microseconds since 1970 UTC. What belongs here: time, as arrays. Days and hours go through `zoneinfo`,
not through any engine of the pipeline, since the truth rests on them.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from recruitment_platform.simulation.market import NONE, Ints
from recruitment_platform.simulation.record import Simulation

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND

SLOT = 15 * MINUTE
"""Grain of the daily rhythm."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HOUR_WEIGHTS = np.array(
    [9, 5, 3, 2, 2, 4, 10, 24, 48, 66, 70, 62, 46, 54, 66, 68, 60, 48, 38, 36, 40, 38, 28, 17], float
)
"""How busy each local hour is: office hours with a dip at noon, a smaller peak in the evening."""

WEEKDAY_FACTORS = (1.12, 1.16, 1.15, 1.11, 1.04, 0.74, 0.68)
"""How busy each day of the week is, Monday first; their mean is 1."""

LATE_SHARE, LATE_SHARE_INJECTED = 0.014, 0.35
"""Share of events whose client's time lies more than an hour before the receive time."""

SKEWED_SHARE = 0.04

STUCK_IN = (1970, 2001, 2038, 2099)
"""Years in which wrong clocks stand still, at their beginning."""


def microseconds(instant: datetime) -> int:
    """The instant in microseconds since 1970."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def day_bounds(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """First instant of the local day, and of the next one."""
    start, end = (datetime.combine(day + timedelta(days=days), time(0), zone) for days in (0, 1))
    return microseconds(start), microseconds(end)


def local_days_hours(instants: Ints, zone: ZoneInfo) -> tuple[Ints, Ints]:
    """The local day (days since 1970) and hour (0 to 23) of each instant.

    The offset from UTC is asked twice for every hour that occurs, and for every minute of those in which it changes:
    since 1972 it has changed on whole minutes only, and never to and fro within an hour.
    """
    if not len(instants):
        return instants, instants
    hours = instants // HOUR
    first = int(hours.min())
    hours -= first
    occurring = np.bincount(hours)
    shifts = np.zeros(len(occurring), np.int64)
    changing = []
    for hour in np.flatnonzero(occurring).tolist():
        start = (first + hour) * HOUR
        shifts[hour] = _offset(start, zone)
        if _offset(start + HOUR - MINUTE, zone) != shifts[hour]:
            changing.append(hour)
    local_time = instants + shifts[hours]
    if changing:
        rows = np.flatnonzero(np.isin(hours, changing))
        minutes, inverse = np.unique(instants[rows] // MINUTE, return_inverse=True)
        offsets = np.array([_offset(minute * MINUTE, zone) for minute in minutes.tolist()])
        local_time[rows] = instants[rows] + offsets[inverse]
    return local_time // DAY, local_time % DAY // HOUR


def _offset(instant: int, zone: ZoneInfo) -> int:
    """What local time is ahead of UTC at that instant, both in microseconds."""
    offset = (EPOCH + timedelta(microseconds=instant)).astimezone(zone).utcoffset()
    return (offset or timedelta(0)) // timedelta(microseconds=1)


def day_count(simulation: Simulation, day: date) -> int:
    """How many events the day has before any is injected: the weekly rhythm."""
    return max(1, round(simulation.events_per_day * WEEKDAY_FACTORS[day.weekday()]))


def receive_ticks(
    rng: np.random.Generator,
    simulation: Simulation,
    day: date,
    span: tuple[float, float],
    count: int,
) -> Ints:
    """Receive times of the day, ascending and all different, in units of 100 ns since 1970.

    `span` is the part of the day's events to which they belong: (0, 0.5) is the first half of them.
    """
    start, end = day_bounds(day, simulation.zone)
    edges = np.append(np.arange(start, end, SLOT), end)
    _, hours = local_days_hours(edges[:-1], simulation.zone)
    passed = np.concatenate([[0.0], np.cumsum(HOUR_WEIGHTS[hours] * np.diff(edges))])
    moments = np.interp(np.sort(rng.uniform(*span, count)) * passed[-1], passed, (edges - start).astype(float))
    ticks = start * 10 + (moments * 10).astype(np.int64)
    order = np.arange(count)
    ascending: Ints = np.maximum.accumulate(ticks - order) + order
    return np.minimum(ascending, end * 10 - count + order)


class Clocks(NamedTuple):
    """What there is to know of clients' clocks on a day, for loops.

    `late_share` of the events are more than an hour old, at most `oldest`; some are ahead, at most `furthest`; none is
    of a time before `opened`, or of the next day, which `end` begins. `skewed_share` of the clocks are wrong, some of
    them `stuck` in another year, some about the ends of the window from `max_age` before to `max_ahead` after.
    """

    late_share: float
    oldest: float
    furthest: float
    opened: int
    end: int
    skewed_share: float
    stuck: Ints
    max_age: int
    max_ahead: int


def client_times(rng: np.random.Generator, simulation: Simulation, day: date, received: Ints) -> Ints:
    """What clients' clocks said, `NONE` where an event has no time: most just before the receive time.

    No time that can be believed lies before the simulation's opening.
    """
    from recruitment_platform.simulation.visits import told_times

    max_age = simulation.max_age // timedelta(microseconds=1)
    max_ahead = simulation.max_ahead // timedelta(microseconds=1)
    clocks = Clocks(
        late_share=LATE_SHARE_INJECTED if "late" in simulation.faults else LATE_SHARE,
        oldest=max(0.9995 * max_age, HOUR + 1.0),
        furthest=float(min(MINUTE, max_ahead)),
        opened=microseconds(simulation.opened_at),
        end=day_bounds(day, simulation.zone)[1],
        skewed_share=SKEWED_SHARE if "clock_skew" in simulation.faults else 0.0,
        stuck=np.array([microseconds(datetime(year, 1, 1, tzinfo=UTC)) for year in STUCK_IN]),
        max_age=max_age,
        max_ahead=max_ahead,
    )
    told: Ints = told_times(rng, received, clocks)
    return told


def event_times(simulation: Simulation, client: Ints, received: Ints) -> Ints:
    """Rule 2: the client's time where it can be believed, else the receive time."""
    age = np.where(client == NONE, 0, received - client)
    believed = (
        (client != NONE)
        & (age <= simulation.max_age // timedelta(microseconds=1))
        & (-age <= simulation.max_ahead // timedelta(microseconds=1))
    )
    return np.where(believed, client, received)
