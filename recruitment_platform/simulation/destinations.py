"""Where simulated traffic goes: through the door into the lake, or into the event log before it.

What belongs here: what is there already, and how a block gets there. What does not: which blocks are sent and when
(`simulate`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.readers import row_content, row_texts
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.model.door import DoorResult, DoorRules, through
from recruitment_platform.resources.kafka.sources import is_of_topic
from recruitment_platform.resources.protocols import EventLake, RejectedRow
from recruitment_platform.simulation.events import Block
from recruitment_platform.simulation.record import Simulation, load_record, write_durably

_SENT = "sent="


class Destination(Protocol):
    """Where the blocks of a simulation go. A block follows on the rows of its day before it, whose number is given."""

    def check_own(self, simulation: Simulation) -> None:
        """InputError where it holds other events already, with which simulated ones must not mix."""
        ...

    def has(self, block: Block, before: int, rows: int) -> bool:
        """Whether the block, of so many rows, is there."""
        ...

    def ready(self, block: Block, raw: pa.Table) -> Callable[[int], None]:
        """Does what can be done before the block's turn comes, at the same time as other blocks.

        What is returned brings the block's rows there, told how many of their day come before them; it returns when
        they are there for certain.
        """
        ...


@dataclass(frozen=True)
class LakeDestination:
    """The lake itself: each receive day is a source partition of its own."""

    truth_path: Path
    lake: EventLake
    first_day: date

    def check_own(self, simulation: Simulation) -> None:
        """InputError where there are sources in the lake, and nothing was simulated yet."""
        if load_record(self.truth_path) is None and self.lake.sources():
            raise other_data("this home already holds other jobs or events", "RECRUITMENT_HOME")

    def has(self, block: Block, before: int, rows: int) -> bool:
        """Whether the lake's progress is at the block's end."""
        return self.lake.progress(block.simulation.source(block.day)) >= before + rows

    def ready(self, block: Block, raw: pa.Table) -> Callable[[int], None]:
        """Judges the block; what is returned takes in what is missing of it."""
        source = block.simulation.source(block.day)
        judged = judged_block(block, raw, 1, self.first_day)
        rejected = _rejected(raw, judged.rejected, source, block.day)
        rows = len(raw)

        def take(before: int) -> None:
            while (after := self.lake.progress(source)) < before + rows:
                known = after - before
                self.lake.append(
                    source,
                    accepted=_moved(judged.accepted, known, before),
                    rejected=[replace(row, position=row.position + before) for row in rejected if row.position > known],
                    after=after,
                    last_position=before + rows,
                    received=rows - known,
                )

        return take


@dataclass(frozen=True)
class LogDestination:
    """The event log. What the topic has for certain is noted beside the truth, by the topic's id.

    A block that a killed simulation had sent in part is sent again: its events are then duplicates, which do no harm.
    """

    truth_path: Path
    topic_id: str
    is_empty: Callable[[], bool]
    send: Callable[[pa.Table], None]

    def check_own(self, simulation: Simulation) -> None:
        """InputError where the topic has messages, none of which were sent by this home's simulation."""
        if self.topic_id not in sent_topics(self.truth_path) and not self.is_empty():
            raise other_data("the topic already holds other events", "RECRUITMENT_HOME and RECRUITMENT_KAFKA_TOPIC")

    def has(self, block: Block, before: int, rows: int) -> bool:
        """Whether all of the block was delivered."""
        return self._noted(block).exists()

    def ready(self, block: Block, raw: pa.Table) -> Callable[[int], None]:
        """What is returned sends the whole block, and notes it once it is delivered."""

        def take(_: int) -> None:
            # First of all, that the topic is ours: what is killed now can be run again.
            write_durably(self._folder / "topic", b"", replacing=True)
            self.send(raw)
            write_durably(self._noted(block), b"", replacing=True)

        return take

    @property
    def _folder(self) -> Path:
        return self.truth_path / f"{_SENT}{self.topic_id}"

    def _noted(self, block: Block) -> Path:
        return self._folder / f"{block.day}-{block.number:06}"


def judged_block(block: Block, raw: pa.Table, first_position: int, first_day: date) -> DoorResult:
    """What the door says of rows of the block, when its receive day is over."""
    simulation = block.simulation
    rules = DoorRules(simulation.time_zone, first_day, simulation.max_age, simulation.max_ahead)
    over = datetime.combine(block.day + timedelta(days=1), time(0), simulation.zone).astimezone(UTC)
    return through(raw, rules, simulation.source(block.day), first_position, over)


def sent_topics(truth_path: Path) -> set[str]:
    """The ids of the topics that this home's simulation was sent to."""
    return {path.name.removeprefix(_SENT) for path in truth_path.glob(f"{_SENT}*")}


def is_simulated(source: str, simulation: Simulation, topics: set[str]) -> bool:
    """Whether what the source partition brings is the simulation's own, directly or by one of these topics."""
    own = f"simulator:{simulation.fingerprint}:"
    return source.startswith(own) or any(is_of_topic(source, topic) for topic in topics)


def other_data(what: str, another: str) -> InputError:
    """The refusal to mix simulated data with others."""
    return InputError(f"{what}, with which simulated ones must not mix; simulate in another {another}")


def _moved(accepted: pa.Table, known: int, before: int) -> pa.Table:
    """The rows behind so many, at the positions that they have when so many others come before them."""
    if known:
        accepted = accepted.filter(pc.greater(accepted["position"], known))
    place = accepted.schema.get_field_index("position")
    return accepted.set_column(place, accepted.field(place), pc.add(accepted["position"], before))


def _rejected(raw: pa.Table, judged: pa.Table, source: str, day: date) -> list[RejectedRow]:
    """The rejected rows as they came, at positions from 1; their ingest day is the simulated one."""
    positions = judged["position"]
    contents = row_texts(raw.take(pc.subtract(positions, 1)))
    return [
        RejectedRow(TRACKING.name, source, position, reason, row_content(content), day)
        for position, reason, content in zip(positions.to_pylist(), judged["reason"].to_pylist(), contents, strict=True)
    ]
