"""Simulated traffic, made again: it is a function of the simulation, so the same rows come at the same positions.

What belongs here: a receive day's source made anew. What does not: the traffic (`traffic`), comparing (`pipeline`).
"""

from collections.abc import Iterator
from datetime import date

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.rereading import JudgedRows, Reread, Unreadable
from recruitment_platform.resources.protocols import SourceState
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.destinations import judged_block
from recruitment_platform.simulation.events import blocks
from recruitment_platform.simulation.record import Simulation, load_record
from recruitment_platform.simulation.simulate import market_of
from recruitment_platform.simulation.traffic import intents, raw_rows


def made_again(settings: Settings, state: SourceState) -> Reread | Unreadable:
    """The source's traffic, where this home's simulation made it."""
    try:
        simulation = load_record(settings.truth_path)
    except InputError as error:
        return Unreadable(str(error))
    _, _, text = state.source.rpartition(":")
    if simulation is None or state.source != simulation.source(date.fromisoformat(text)):
        return Unreadable("it was simulated by another home, or by another version of the simulator")
    return Reread(
        "the simulator", 1, state.last_position, _rows(settings, simulation, date.fromisoformat(text), state.source)
    )


def _rows(settings: Settings, simulation: Simulation, day: date, source: str) -> Iterator[JudgedRows]:
    position = 0
    for block in blocks(simulation, market_of(settings, simulation), day):
        raw = raw_rows(block, intents(block))
        judged = judged_block(block, raw, position + 1, settings.first_day)
        yield JudgedRows(judged.accepted, judged.rejected["position"])
        position += len(raw)
