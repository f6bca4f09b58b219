"""Where simulated traffic goes: through the door into the lake, or into the event log before it.

What belongs here: what is there already, and how a block gets there. What does not: which blocks are sent and when
(`simulate`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.readers import row_contents
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.model.door import DoorResult, DoorRules, through
from recruitment_platform.resources.kafka.sources import is_of_topic
from recruitment_platform.resources.lake.parquet import ParquetLake
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

    def ready(self, block: Block, before: int, raw: pa.Table) -> Any:
        """Does what can be done before the block's turn comes, at the same time as other blocks."""
        ...

    def take(self, block: Block, before: int, ready: Any) -> None:
        """Brings there what was made ready of the block; it returns when that is there for certain."""
        ...

    def drop(self, ready: Any) -> None:
        """Lets go of what was made ready and is not taken."""
        ...


@dataclass(frozen=True)
class ReadyRows:
    """Rows of a block up to `last_position` of its day, as the door judged them; `accepted` are `UnlistedEvents` where
    the lake is files.
    """

    accepted: Any
    rejected: list[RejectedRow]
    last_position: int


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

    def ready(self, block: Block, before: int, raw: pa.Table) -> ReadyRows:
        """The rows, as judged, of the block or of a part of it; where the lake is files, they are written."""
        judged = judged_block(block, raw, before + 1, self.first_day)
        rejected = _rejected(raw, judged.rejected, before, block.simulation.source(block.day), block.day)
        accepted = self.lake.write(judged.accepted) if isinstance(self.lake, ParquetLake) else judged.accepted
        return ReadyRows(accepted, rejected, before + len(raw))

    def take(self, block: Block, before: int, ready: ReadyRows) -> None:
        """Takes in the rows, where they are not there yet. InputError where some of them are, and others are not."""
        source = block.simulation.source(block.day)
        taken = False
        try:
            taken = self.lake.append(
                source,
                accepted=ready.accepted,
                rejected=ready.rejected,
                after=before,
                last_position=ready.last_position,
                received=ready.last_position - before,
            )
        finally:
            if not taken:
                self.drop(ready)
        if not taken and (after := self.lake.progress(source)) < ready.last_position:
            raise InputError(
                f"{source} is in the lake up to {after}, where no block of it ends: another version of the simulator "
                "has sent it; simulate in another RECRUITMENT_HOME"
            )

    def drop(self, ready: ReadyRows) -> None:
        """Removes files that the lake does not list."""
        if isinstance(self.lake, ParquetLake):
            self.lake.drop(ready.accepted)


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

    def ready(self, block: Block, before: int, raw: pa.Table) -> pa.Table:
        """The rows: nothing can be done before they are sent."""
        return raw

    def take(self, block: Block, before: int, ready: pa.Table) -> None:
        """Sends the whole block, and notes it once it is delivered."""
        # First of all, that the topic is ours: what is killed now can be run again.
        write_durably(self._folder / "topic", b"", replacing=True)
        self.send(ready)
        write_durably(self._noted(block), b"", replacing=True)

    def drop(self, ready: pa.Table) -> None:
        """There is nothing to let go of."""

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
    return through(raw, rules, simulation.source(block.day), first_position, over, coded=True)


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


def _rejected(raw: pa.Table, judged: pa.Table, before: int, source: str, day: date) -> list[RejectedRow]:
    """The rejected rows as they came; their ingest day is the simulated one."""
    positions = judged["position"]
    contents = row_contents(raw.take(pc.subtract(positions, before + 1)))
    return [
        RejectedRow(TRACKING.name, source, position, reason, content, day)
        for position, reason, content in zip(positions.to_pylist(), judged["reason"].to_pylist(), contents, strict=True)
    ]
