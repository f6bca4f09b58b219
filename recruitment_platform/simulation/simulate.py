"""Simulating: the market goes to the operational tables, the traffic to the lake or the log before it, the truth aside.

What belongs here: the order in which that happens, so that a simulation that was killed goes on where it stopped, and
one that is made again changes nothing. What does not: what the traffic is (`traffic`), how it gets to where it goes
(`destinations`), what its facts are (`truth`).
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.ahead import made_by_threads
from recruitment_platform.model.operational import parse_row
from recruitment_platform.resources.protocols import RelationalStore
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.destinations import Destination, other_data
from recruitment_platform.simulation.events import Block, blocks
from recruitment_platform.simulation.market import Market, make_market
from recruitment_platform.simulation.record import CHANGED, OPENED, Simulation, load_record, market_states, open_record
from recruitment_platform.simulation.traffic import intents, raw_rows, row_count
from recruitment_platform.simulation.truth import Partial, partial_of, read_partial, write_partial

ARRIVE_NEXT_DAY = frozenset({"duplicates", "conflicts"})
"""Faults by which rows of a day arrive again, or otherwise, on the next one: no day may then be left out."""

_MAKERS = 4
"""Threads that make blocks, at most: more of one Python would wait for one another."""


@dataclass(frozen=True)
class SimulatedDay:
    """What a receive day brought, `accepted` and `rejected` as the door must see it; `known` where all was there."""

    day: date
    received: int
    accepted: int
    rejected: int
    known: bool


def planned(
    settings: Settings,
    first: date,
    last: date,
    *,
    seed: int,
    events_per_day: int,
    faults: frozenset[str],
) -> Simulation:
    """The simulation of these days: it goes on with the one in this home, or opens on the first of them.

    Jobs change in the middle of the days for which a simulation is made first. Raises InputError where a value cannot
    be used.
    """
    former = load_record(settings.truth_path)
    return Simulation(
        seed=seed,
        opening=first if former is None else former.opening,
        events_per_day=events_per_day,
        faults=faults,
        change_after=max(0, (last - first).days) // 2 if former is None else former.change_after,
        time_zone=settings.time_zone,
        currency=settings.currency,
        max_age=settings.max_event_age,
        max_ahead=settings.max_event_ahead,
    )


def run_simulation(
    settings: Settings,
    destination: Destination,
    relational: RelationalStore,
    simulation: Simulation,
    first: date,
    last: date,
    report: Callable[[SimulatedDay], None],
) -> list[SimulatedDay]:
    """Simulates the traffic received from `first` to `last`; days that are already there stay as they are.

    `report` is told of each day when it is done. Raises InputError where these days cannot be simulated, or another
    simulation was made in this home, having changed nothing.
    """
    _check_days(settings, simulation, first, last)
    destination.check_own(simulation)
    if load_record(settings.truth_path) is None and relational.counts():
        raise other_data("this home already holds other jobs or events", "RECRUITMENT_HOME")
    open_record(settings.truth_path, simulation)
    market = market_of(settings, simulation)
    if first > simulation.opening and simulation.faults & ARRIVE_NEXT_DAY:
        _check_eve(settings.truth_path, destination, simulation, market, first)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    done = []
    for simulated in _simulated_days(settings, destination, relational, simulation, market, days):
        report(simulated)
        done.append(simulated)
    return done


def _check_days(settings: Settings, simulation: Simulation, first: date, last: date) -> None:
    today = datetime.now(simulation.zone).date()
    if last < first:
        raise InputError(f"the last day to simulate, {last}, lies before the first one, {first}")
    if first < simulation.opening:
        raise InputError(f"{first} cannot be simulated: the simulation in this home opens on {simulation.opening}")
    if simulation.opening < settings.first_day:
        raise InputError(
            f"the simulation cannot open on {simulation.opening}: the platform's first day is {settings.first_day} "
            "(RECRUITMENT_FIRST_DAY)",
        )
    if last >= today:
        raise InputError(f"{last} cannot be simulated before it is over; today is {today} ({simulation.time_zone})")


def _check_eve(truth_path: Path, destination: Destination, simulation: Simulation, market: Market, first: date) -> None:
    eve = first - timedelta(days=1)
    sent = 0
    missing = False
    for block in blocks(simulation, market, eve):
        rows = row_count(block)
        missing |= read_partial(truth_path, block) is None or not destination.has(block, sent, rows)
        sent += rows
    if missing:
        raise InputError(
            f"{first} cannot be simulated while {eve} is missing: with {' or '.join(sorted(ARRIVE_NEXT_DAY))}, rows "
            "of a day arrive again on the next one; simulate from the first missing day on",
        )


def market_of(settings: Settings, simulation: Simulation) -> Market:
    """The market in which the simulation happens."""
    return make_market(simulation.seed, simulation.opening, _spellings(settings))


def _spellings(settings: Settings) -> list[str]:
    """How campaigns write the platform's currency."""
    aliases = [alias for alias, currency in settings.currency_aliases.items() if currency == settings.currency]
    return [settings.currency, *sorted(aliases)]


def _bring_about(settings: Settings, relational: RelationalStore, simulation: Simulation, market: Market) -> None:
    """Brings the market into the operational tables and the history of `dim_jobs`; its change once that has come."""
    now = datetime.now(UTC)
    changed_at = simulation.changed_at
    with market_states(settings.truth_path) as (known, note):

        def bring(state: str, tables: Mapping[str, Sequence[Mapping[str, str]]], as_of: datetime) -> None:
            if state not in known:
                for table, rows in tables.items():
                    relational.upsert(table, [parse_row(table, row) for row in rows])
                relational.refresh_dim_jobs(as_of, settings.currency, settings.currency_aliases)
                note(state)

        # First versions reach back to the beginning of time, so that only a change needs an instant in the past.
        bring(OPENED, market.tables, now if changed_at is None else simulation.opened_at.astimezone(UTC))
        if changed_at is not None and changed_at <= now:
            bring(CHANGED, {"job": market.changed_jobs}, changed_at.astimezone(UTC))


@dataclass(frozen=True)
class _Planned:
    """A block, how many rows of its day come before it, and what is true of it where it is there already."""

    block: Block
    before: int
    known: Partial | None


@dataclass(frozen=True)
class _Made:
    """A block that was planned, what is true of it, and what is ready to be taken: None where it is there."""

    planned: _Planned
    partial: Partial
    ready: Any


def _simulated_days(
    settings: Settings,
    destination: Destination,
    relational: RelationalStore,
    simulation: Simulation,
    market: Market,
    days: Sequence[date],
) -> Iterator[SimulatedDay]:
    """Each day, once all of it is there. Blocks are made at the same time, and brought there in their order.

    No event is there before the market is, which is brought about while the first blocks are made.
    """

    def make(planned_block: _Planned) -> _Made:
        if planned_block.known is not None:
            return _Made(planned_block, planned_block.known, None)
        block = planned_block.block
        rows = intents(block)
        partial = partial_of(block, rows)
        # What is true of a block is kept before it goes anywhere.
        write_partial(settings.truth_path, block, partial)
        return _Made(planned_block, partial, destination.ready(block, planned_block.before, raw_rows(block, rows)))

    def drop(made: _Made) -> None:
        if made.ready is not None:
            destination.drop(made.ready)

    blocks_of_days = _blocks(settings, destination, simulation, market, days)
    received = rejected = 0
    known = True
    with made_by_threads(make, blocks_of_days, min(os.cpu_count() or 1, _MAKERS), drop) as blocks_made:
        _bring_about(settings, relational, simulation, market)
        for made in blocks_made:
            block = made.planned.block
            if made.ready is not None:
                known = False
                destination.take(block, made.planned.before, made.ready)
            received += made.partial.received
            rejected += made.partial.rejected
            if block.number + 1 == block.of:
                yield SimulatedDay(block.day, received, received - rejected, rejected, known)
                received = rejected = 0
                known = True


def _blocks(
    settings: Settings, destination: Destination, simulation: Simulation, market: Market, days: Sequence[date]
) -> Iterator[_Planned]:
    """The blocks of the days, with what is true of those that are there already."""
    for day in days:
        before = 0
        for block in blocks(simulation, market, day):
            rows = row_count(block)
            partial = read_partial(settings.truth_path, block)
            is_there = partial is not None and destination.has(block, before, rows)
            yield _Planned(block, before, partial if is_there else None)
            before += rows
