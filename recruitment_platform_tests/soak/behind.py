"""Which days' facts are behind the lake: by the states, as the sensors look.

What belongs here: looking. What does not: waiting for it, which each test does in its own way.
"""

from collections import defaultdict
from datetime import date

from recruitment_platform.resources.protocols import Watermark
from recruitment_platform.resources.stores import Stores


def behind(stores: Stores) -> list[date]:
    """Days with events of which the facts are made from another state of the lake, ascending."""
    marks: dict[date, dict[str, int]] = defaultdict(dict)
    for state in stores.lake.day_states():
        marks[state.event_date][state.source] = state.last_position
    loaded: dict[date, Watermark] = {day: row.watermark for day, row in stores.warehouse.ledger().items()}
    return sorted(day for day, mark in marks.items() if loaded.get(day) != mark)
