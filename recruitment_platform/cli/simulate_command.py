"""`simulate`: simulated traffic for the lake, with the truth about its facts; and what `demo` shares with it."""

from collections.abc import Callable
from datetime import date
from typing import Any, TypeVar

import click

from recruitment_platform.cli.days import day_range
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.stores import new_or_existing_stores
from recruitment_platform.errors import InputError
from recruitment_platform.memory import keep_freed_memory
from recruitment_platform.resources.stores import Stores
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.destinations import LakeDestination
from recruitment_platform.simulation.record import ALL_FAULTS, Simulation, load_record
from recruitment_platform.simulation.simulate import SimulatedDay, planned, run_simulation

Command = TypeVar("Command", bound=Callable[..., Any])

SEED = 7
EVENTS_PER_DAY = 200_000


def traffic_options(command: Command) -> Command:
    """The options that decide the traffic, passed as `seed`, `events_per_day` and `faults` text, None where not set."""
    for option in (
        click.option(
            "--faults",
            metavar="all|none|NAME,…",
            help=f"Which faults to inject, all by default: {', '.join(sorted(ALL_FAULTS))}.",
        ),
        click.option("--seed", type=int, help=f"The same seed gives the same traffic; {SEED} by default."),
        click.option("--events-per-day", type=int, help=f"Mean number of events a day; {EVENTS_PER_DAY:,} by default."),
    ):
        command = option(command)
    return command


@click.command("simulate")
@day_range(required=True)
@traffic_options
def command(first: date, last: date, seed: int | None, events_per_day: int | None, faults: str | None) -> None:
    """Sends simulated traffic of the days FROM to TO into the lake, and keeps the truth about it.

    A simulation goes on day after day from its opening: a home has one, and options that are not given are those with
    which it was begun. Days that are there already stay as they are.

    \b
    Examples:
      recruitment-platform simulate --from 2025-03-01 --to 2025-03-31 --events-per-day 20000
      recruitment-platform simulate --from 2025-04-01 --to 2025-04-07
    """
    settings = Settings.from_environment()
    stores = new_or_existing_stores(settings)
    simulate(settings, stores, first, last, seed, events_per_day, faults)


def simulate(
    settings: Settings,
    stores: Stores,
    first: date,
    last: date,
    seed: int | None,
    events_per_day: int | None,
    faults: str | None,
) -> list[SimulatedDay]:
    """Simulates the days into the lake, telling each; what is None is as the simulation was begun, else the default."""

    def report(day: SimulatedDay) -> None:
        known = ", all known already" if day.known else ""
        note(f"simulated {day.day}: {day.accepted:,} events accepted, {day.rejected:,} rejected{known}")

    keep_freed_memory()
    simulation = simulation_of(settings, first, last, seed, events_per_day, faults)
    destination = LakeDestination(settings.truth_path, stores.lake, settings.first_day)
    return run_simulation(settings, destination, stores.relational, simulation, first, last, report)


def simulation_of(
    settings: Settings, first: date, last: date, seed: int | None, events_per_day: int | None, faults: str | None
) -> Simulation:
    """The simulation that these options mean; what is None is as the simulation was begun, else the default."""
    former = load_record(settings.truth_path)
    return planned(
        settings,
        first,
        last,
        seed=seed if seed is not None else former.seed if former else SEED,
        events_per_day=(
            events_per_day if events_per_day is not None else former.events_per_day if former else EVENTS_PER_DAY
        ),
        faults=_faults(faults) if faults is not None else former.faults if former else ALL_FAULTS,
    )


def _faults(text: str) -> frozenset[str]:
    if text in ("all", "none"):
        return ALL_FAULTS if text == "all" else frozenset()
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise InputError("--faults is empty; give all, none, or names separated by commas")
    return names
