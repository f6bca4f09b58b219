"""What a simulation is: the parameters that decide every byte of its traffic, and their record on disk.

What belongs here: the parameters, their fingerprint, the record kept beside the truth. What does not: the traffic
itself (`traffic`), or the act of taking it in (`simulate`).
"""

import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from recruitment_platform.errors import InputError, StoreUnavailableError

ALL_FAULTS = frozenset(
    {"duplicates", "conflicts", "late", "malformed", "clock_skew", "unknown_jobs", "job_changes"},
)
"""What can be injected, each with its truth (`faults` says what each one does)."""

GENERATOR = 2
"""Grows when the same parameters lead to other traffic; it is part of the fingerprint, and of the record from 2 on."""

OPENED, CHANGED = "opened", "changed"
"""States of the market: as it is on the opening day, and after jobs have changed."""

CHANGE_TIME = time(13, 37, 11, 250_000)
"""Local time of day at which jobs change: not on an hour, so that events of one hour lie on both sides."""


@dataclass(frozen=True)
class Simulation:
    """The parameters of a simulation, a process that goes on day after day from its opening.

    `events_per_day` is the mean over a week. `change_after` days after the opening jobs change campaign, group and
    company, where `job_changes` is among the faults. Time zone, currency and the windows in which a client's time is
    believed are the platform's settings: the truth depends on them. Raises InputError where a value cannot be used.
    """

    seed: int
    opening: date
    events_per_day: int
    faults: frozenset[str] = frozenset()
    change_after: int = 3
    time_zone: str = "UTC"
    currency: str = "USD"
    max_age: timedelta = timedelta(days=7)
    max_ahead: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        unknown = sorted(self.faults - ALL_FAULTS)
        if unknown:
            raise InputError(f"unknown fault {', '.join(unknown)}; known are {', '.join(sorted(ALL_FAULTS))}")
        if self.seed < 0:
            raise InputError(f"a seed of {self.seed} is not possible: it must not be negative")
        if self.events_per_day < 1:
            raise InputError(f"{self.events_per_day} events a day are not possible: at least 1")
        if self.change_after < 0:
            raise InputError(f"jobs cannot change {-self.change_after} days before the opening")

    @property
    def zone(self) -> ZoneInfo:
        """The platform's time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def opened_at(self) -> datetime:
        """The opening's first instant in the platform's time zone."""
        return datetime.combine(self.opening, time(0), self.zone)

    @property
    def changed_at(self) -> datetime | None:
        """The instant at which jobs change; None where they do not."""
        if "job_changes" not in self.faults:
            return None
        return datetime.combine(self.opening + timedelta(days=self.change_after), CHANGE_TIME, self.zone)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that differ where any parameter does."""
        return hashlib.sha256(json.dumps([GENERATOR, _to_json(self)]).encode()).hexdigest()[:16]

    def source(self, day: date) -> str:
        """The source partition of the day's traffic."""
        return f"simulator:{self.fingerprint}:{day}"


@dataclass(frozen=True)
class Record:
    """A simulation, the states of the market (`OPENED`, `CHANGED`) that `dim_jobs` already knows, and who made it."""

    simulation: Simulation
    states: tuple[str, ...] = ()
    generator: int = GENERATOR


_FIELDS = fields(Simulation)


def load_record(truth_path: Path) -> Simulation | None:
    """The simulation that was made there, None where there is none yet; InputError where its record cannot be read."""
    record = _load(truth_path)
    return None if record is None else record.simulation


def _load(truth_path: Path) -> Record | None:
    path = _path(truth_path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Record(_from_json(content["simulation"]), tuple(content["states"]), content.get("generator", 1))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailableError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no record of a simulation ({error}); use another RECRUITMENT_HOME") from error


def open_record(truth_path: Path, simulation: Simulation) -> None:
    """Sees to it that the record is one of this simulation; it is written where there is none yet.

    Raises InputError where another simulation was made there, naming the parameters that differ, or where it was made
    by a version of the simulator whose traffic was another: what comes again of its days could not be made.
    """
    if _load(truth_path) is None:
        write_durably(_path(truth_path), _content(Record(simulation)), replacing=False)
    record = _load(truth_path)
    assert record is not None
    if record.generator != GENERATOR:
        raise InputError(
            "this home holds the simulation of another version of the simulator, whose traffic was another; its days "
            "can be read, run and scored as before: for further ones, use another RECRUITMENT_HOME"
        )
    pairs = {field.name: (getattr(simulation, field.name), getattr(record.simulation, field.name)) for field in _FIELDS}
    differing = [
        f"{name} {_shown(given)} (it was {_shown(stored)})"
        for name, (given, stored) in pairs.items()
        if given != stored
    ]
    if differing:
        raise InputError(
            f"this home already holds another simulation, made with a different {', '.join(differing)}; "
            "use the same parameters, or another RECRUITMENT_HOME",
        )


@contextmanager
def market_states(truth_path: Path) -> Iterator[tuple[tuple[str, ...], Callable[[str], None]]]:
    """(states that `dim_jobs` knows, what notes another one durably), for one process at a time: others wait."""
    with (truth_path / "simulation.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = _load(truth_path)
        assert record is not None

        def note(state: str) -> None:
            nonlocal record
            assert record is not None
            record = replace(record, states=(*record.states, state))
            write_durably(_path(truth_path), _content(record), replacing=True)

        yield record.states, note


def write_durably(path: Path, content: bytes, *, replacing: bool) -> None:
    """Writes the file whole or not at all; where not `replacing`, one that is there already stays.

    Raises StoreUnavailableError where it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if replacing:
                partial.replace(path)
            elif not path.exists():
                path.hardlink_to(partial)
        except FileExistsError:
            pass  # another simulation was faster: the caller reads what it wrote
        finally:
            partial.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreUnavailableError(f"cannot write {path}: {error.strerror}; check the folder and its space") from error


def _path(truth_path: Path) -> Path:
    return truth_path / "simulation.json"


def _content(record: Record) -> bytes:
    content = {
        "generator": record.generator,
        "simulation": _to_json(record.simulation),
        "states": record.states,
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def _to_json(simulation: Simulation) -> dict[str, Any]:
    return {
        "seed": simulation.seed,
        "opening": simulation.opening.isoformat(),
        "events_per_day": simulation.events_per_day,
        "faults": sorted(simulation.faults),
        "change_after": simulation.change_after,
        "time_zone": simulation.time_zone,
        "currency": simulation.currency,
        "max_age": simulation.max_age // timedelta(microseconds=1),
        "max_ahead": simulation.max_ahead // timedelta(microseconds=1),
    }


def _from_json(content: dict[str, Any]) -> Simulation:
    return Simulation(
        **{
            **content,
            "opening": date.fromisoformat(content["opening"]),
            "faults": frozenset(content["faults"]),
            "max_age": timedelta(microseconds=content["max_age"]),
            "max_ahead": timedelta(microseconds=content["max_ahead"]),
        },
    )


def _shown(value: object) -> str:
    if isinstance(value, frozenset):
        return ",".join(sorted(value)) or "none"
    return str(value)
