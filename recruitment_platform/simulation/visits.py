"""What visitors do, event by event: the loops that draw it, by numba.

What belongs here: chance, and what follows from it for one event alone. What does not: what there is to choose from
(`habits`), when things happen (`times`), arrays of Arrow (`events`).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recruitment_platform.compiled import compiled
from recruitment_platform.simulation.chance import Guided
from recruitment_platform.simulation.habits import Habits
from recruitment_platform.simulation.kernels import Bytes, Codes, Numbers
from recruitment_platform.simulation.market import NONE as NULL
from recruitment_platform.simulation.times import DAY, HOUR, MINUTE, SECOND, Clocks

Flags = npt.NDArray[np.bool_]

NONE = int(NULL)

NOWHERE, COLUMN, BOTH, ED, CONTRADICTORY = range(5)
"""Where an event carries its job: in `job_id`, in `ed`, in both alike, or in both and differently."""

GUIDED = 1024
"""Parts of the unit interval, of each of which is known where to begin to look."""

PAGE_FORMS, NODES, LAST_USER = 3, 24, 4_999

LONGEST_ED, LONGEST_LINE = 256, 16
"""Bytes of an `ed`, and what it is made of, at most."""

NUMBER = 1 << 40
"""Added to a number to tell it from a part."""


class Happenings(NamedTuple):
    """What happened: the kind, whether columns tell of it, the job in `job_id`, in `ed` and as resolved (or `NONE`)."""

    kind: Numbers
    in_column: Flags
    job_id: Numbers
    job_in_ed: Numbers
    job: Numbers
    has_ed: Flags


class Details(NamedTuple):
    """What else events say: numbers with `NONE` for null, codes of the columns in `habits.CHOSEN` with -1.

    `visitor` are random bits, always the same for a visitor; `page` is one of `PAGES`, for events without a job.
    """

    bid: Numbers
    spend: Numbers
    campaign_id: Numbers
    group_id: Numbers
    publisher_id: Numbers
    publisher: Numbers
    visitor: npt.NDArray[np.uint64]
    node: Numbers
    cd: Numbers
    tz: Numbers
    page: Numbers
    page_form: Numbers
    codes: Codes


@compiled
def choice(number: float, guided: Guided) -> int:
    """How many of the ascending shares are not above the number, 0 to 1: which one it chooses."""
    until, guide = guided
    chosen = int(guide[int(number * GUIDED)])
    while until[chosen] <= number:
        chosen += 1
    return chosen


@compiled
def choices(rng: np.random.Generator, guided: Guided, count: int) -> Numbers:
    """So many choices."""
    made = np.empty(count, np.int64)
    for row in range(count):
        made[row] = choice(rng.random(), guided)
    return made


@compiled
def one_of(rng: np.random.Generator, numbers: Numbers) -> int:
    """Any of the numbers."""
    return int(numbers[int(rng.random() * len(numbers))])


@compiled
def told_times(rng: np.random.Generator, received: Numbers, clocks: Clocks) -> Numbers:
    """What clients' clocks said of events received at these times, `NONE` where they said nothing."""
    told = np.empty(len(received), np.int64)
    log_hour, log_oldest = np.log(HOUR), np.log(clocks.oldest)
    for row in range(len(received)):
        now = received[row]
        how = rng.random()
        if how < clocks.late_share:
            age = np.exp(log_hour + rng.random() * (log_oldest - log_hour))
        elif how < clocks.late_share + 0.03:
            age = -rng.random() * clocks.furthest
        elif how < 0.94:
            age = -0.4 * SECOND * np.log(1 - rng.random())
        else:
            age = MINUTE + rng.random() * (HOUR - MINUTE)
        time = min(now - int(age), clocks.end - 1)
        if time < clocks.opened:
            time = clocks.opened + int(rng.random() * (now - clocks.opened))
        # Clients send milliseconds; some only seconds, few microseconds. The opening is a whole second.
        how = rng.random()
        if how < 0.97:
            time -= time % (SECOND if how < 0.12 else 1_000)
        if rng.random() < clocks.skewed_share:
            time = _wrong_time(rng, now, clocks)
        told[row] = NONE if rng.random() < 0.002 else time
    return told


@compiled
def _wrong_time(rng: np.random.Generator, now: int, clocks: Clocks) -> int:
    """Of a clock that is wrong: stuck in another year, off by hours, or just in and just out of the window."""
    how = int(rng.random() * (len(clocks.stuck) + 5))
    if how < len(clocks.stuck):
        return int(clocks.stuck[how])
    how -= len(clocks.stuck)
    if how == 0:
        return now + clocks.max_ahead + 1 + int(rng.random() * 14 * HOUR)
    if how == 1:
        return now - clocks.max_age - 1 - int(rng.random() * 300 * DAY)
    if how < 4:
        return now + clocks.max_ahead + how - 2
    if rng.random() < 0.5 and now - clocks.max_age >= clocks.opened:
        return now - clocks.max_age
    return now - clocks.max_age - 1


@compiled
def happenings(
    rng: np.random.Generator,
    count: int,
    habits: Habits,
    busy: Guided,
    busy_jobs: Numbers,
    all_jobs: Numbers,
    strangers: Numbers,
    strangers_share: float,
) -> Happenings:
    """So many events, with jobs by how busy they are; some jobs are strangers."""
    what = Happenings(
        np.empty(count, np.int64),
        np.empty(count, np.bool_),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.bool_),
    )
    for row in range(count):
        kind = choice(rng.random(), habits.kinds)
        job = busy_jobs[choice(rng.random(), busy)]
        if rng.random() < strangers_share:
            job = one_of(rng, strangers)
        number, carrier = rng.random(), 0
        while carrier < CONTRADICTORY and habits.carriers[kind, carrier] <= number:
            carrier += 1
        in_column = carrier not in (NOWHERE, ED)
        job_in_ed = NONE
        if carrier in (BOTH, ED):
            job_in_ed = job
        elif carrier == CONTRADICTORY:
            job_in_ed = one_of(rng, all_jobs)
        what.kind[row] = kind
        what.in_column[row] = in_column
        what.job_id[row] = job if in_column else NONE
        what.job_in_ed[row] = job_in_ed
        what.job[row] = job if in_column else job_in_ed
        what.has_ed[row] = kind != 0 and (carrier >= BOTH or rng.random() < 0.985)
    return what


@compiled
def _said(
    rng: np.random.Generator, of_job: int, all_ids: Numbers, in_column: bool, shares: tuple[float, float, float]
) -> int:
    """What the event itself says: mostly its job's, some another, some an explicit 0, else nothing.

    Events without a job in the column seldom say anything.
    """
    number = rng.random()
    if not in_column:
        number += shares[0]
    if number < shares[0]:
        return of_job
    if number < shares[0] + shares[1]:
        return int(one_of(rng, all_ids))
    return 0 if number < shares[0] + shares[1] + shares[2] else NONE


@compiled
def _publisher(rng: np.random.Generator, publisher_ids: Numbers) -> int:
    """One publisher carries 95 %; some events come from 0, some from none."""
    number = rng.random()
    if number < 0.95:
        return int(publisher_ids[0])
    if number < 0.98:
        return int(one_of(rng, publisher_ids[1:]))
    return 0 if number < 0.99 else NONE


@compiled
def _put(out: Bytes, at: int, octets: Bytes, start: int, end: int) -> int:
    """Writes these bytes; returns where they end."""
    for place in range(start, end):
        out[at] = octets[place]
        at += 1
    return at


@compiled
def _put_number(out: Bytes, at: int, number: int) -> int:
    """Writes a number in decimal digits; returns where it ends."""
    if number < 0:
        out[at] = 45
        at += 1
        number = -number
    left = number // 10
    while left:
        at, left = at + 1, left // 10
    end = at + 1
    while True:
        out[at] = 48 + number % 10
        number //= 10
        if not number:
            return end
        at -= 1


@compiled
def eds(rng: np.random.Generator, what: Happenings, publishers: Numbers, habits: Habits) -> tuple[Flags, Bytes, Codes]:
    """(which events have an `ed`, its bytes, where each begins): custom events in the forms of real ones.

    Jobs and publishers may be `NONE`.
    """
    count = len(publishers)
    parts, alive = habits.parts, habits.alive
    octets, ends = parts.octets, parts.ends
    is_there = np.empty(count, np.bool_)
    out = np.empty(count * LONGEST_ED, np.uint8)
    out_ends = np.empty(count + 1, np.int32)
    out_ends[0] = at = 0
    # What an event is made of: parts, and numbers, which are above them all.
    line = np.empty(LONGEST_LINE, np.int64)
    for row in range(count):
        kind, job, publisher = what.kind[row], what.job_in_ed[row], publishers[row]
        size = 0
        if what.has_ed[row]:
            line[0] = kind
            size = 1
            if rng.random() < 0.01:
                line[size] = parts.other_page
                size += 1
            if job == NONE:
                line[size] = parts.no_job + choice(rng.random(), habits.no_jobs)
                size += 1
            else:
                form = choice(rng.random(), habits.job_forms)
                line[size] = parts.before_job + form
                line[size + 1] = NUMBER + job
                line[size + 2] = parts.after_job + form
                size += 3
            if publisher == NONE:
                line[size] = parts.no_publisher + choice(rng.random(), habits.no_publishers)
                size += 1
            else:
                form = int(rng.random() * 2)
                line[size] = parts.before_publisher + form
                line[size + 1] = NUMBER + publisher
                line[size + 2] = parts.after_publisher + form
                size += 3
            number = rng.random()
            if number < 0.5:
                line[size] = parts.user
                line[size + 1] = NUMBER + 1 + int(number * 2 * LAST_USER)
                size += 2
            if kind == alive:
                line[size] = parts.stayed + job % 2
                size += 1
            line[size] = parts.end
            size += 1
        elif kind == 0 and rng.random() < 0.005:
            line[0] = parts.older
            size = 1
        for place in range(size):
            if line[place] < len(ends):
                at = _put(out, at, octets, ends[line[place]], ends[line[place] + 1])
            else:
                at = _put_number(out, at, line[place] - NUMBER)
        is_there[row] = size > 0
        out_ends[row + 1] = at
    return is_there, out, out_ends


@compiled
def details(
    rng: np.random.Generator,
    what: Happenings,
    habits: Habits,
    job_campaign: Numbers,
    job_group: Numbers,
    campaign_ids: Numbers,
    group_ids: Numbers,
    publisher_ids: Numbers,
    visitors: int,
    seed: int,
    pages: int,
) -> Details:
    """All else that the events say: jobs have these campaigns and groups, the site has so many visitors and pages."""
    count = len(what.kind)
    columns = len(habits.codes)
    chosen = np.empty(len(habits.choices), np.int64)
    said = Details(
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.uint64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty((columns, count), np.int32),
    )
    for row in range(count):
        kind, in_column = what.kind[row], what.in_column[row]
        publisher = _publisher(rng, publisher_ids)
        said.publisher_id[row] = publisher if in_column else NONE
        said.publisher[row] = publisher if in_column or what.has_ed[row] else NONE
        bid = NONE
        if in_column or rng.random() >= 0.9:
            bid = habits.micros[choice(rng.random(), habits.bids)]
        said.bid[row] = bid
        said.spend[row] = bid if bid != NONE and habits.is_click[kind] else 0
        said.campaign_id[row] = _said(rng, job_campaign[row], campaign_ids, in_column, (0.965, 0.02, 0.005))
        said.group_id[row] = _said(rng, job_group[row], group_ids, in_column, (0.93, 0.02, 0.01))
        visitor = int(rng.random() ** 2 * visitors)
        mixed = np.uint64(visitor) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        mixed ^= mixed >> np.uint64(29)
        said.visitor[row] = mixed * np.uint64(0xBF58476D1CE4E5B9)
        device = int((mixed >> np.uint64(7)) % np.uint64(len(habits.depths)))
        said.cd[row] = NONE if rng.random() < 0.01 else habits.depths[device]
        said.tz[row] = habits.offsets[visitor % len(habits.offsets)]
        said.node[row] = int(rng.random() * NODES)
        said.page[row] = int(rng.random() * pages)
        said.page_form[row] = int(rng.random() * PAGE_FORMS)
        # In the order of `habits.CHOSEN`.
        chosen[0] = kind
        chosen[1] = device
        chosen[2] = choice(rng.random(), habits.encodings)
        chosen[3] = choice(rng.random(), habits.titles)
        chosen[4] = int(rng.random() * habits.choices[4])
        chosen[5] = int(rng.random() * habits.choices[5])
        for column in range(columns):
            said.codes[column, row] = habits.codes[column, chosen[habits.chosen_by[column]]]
    return said
