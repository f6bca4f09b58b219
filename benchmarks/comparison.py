"""Two ways to one result, side by side: run in turns, each in processes and a folder of its own, held to the same rows.

What belongs here: how a comparison is made and told. What does not: what is compared (`lines`), and how a command is
measured (`measured`).
"""

import json
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measured import Measured

Result = tuple[int, str]
"""Rows, and a text that is the same for the same rows only."""


@dataclass(frozen=True)
class Side:
    """One way: `run` is given a new folder, `result` tells what it left there.

    Where the process times a part of itself, because its start is not what is compared, its output is a JSON object
    with the `seconds` of that part, and these count.
    """

    name: str
    run: Callable[[Path], Measured]
    result: Callable[[Path], Result]
    is_part: bool = False


@dataclass(frozen=True)
class Figures:
    """Medians of a side's runs: seconds that count, CPU seconds of all processes, MiB; `told` is what it printed."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_mib: int
    rows: int
    told: Mapping[str, float]


def compared(sides: Sequence[Side], times: int, folder: Path) -> list[Figures]:
    """Runs the sides in turns, so many times each; RuntimeError where their results differ."""
    runs: dict[str, list[tuple[float, Measured, Mapping[str, float]]]] = {side.name: [] for side in sides}
    expected: tuple[str, Result] | None = None
    for _ in range(times):
        for side in sides:
            place = folder / side.name.replace(" ", "-")
            place.mkdir(parents=True)
            found = side.run(place)
            result = side.result(place)
            if expected is None:
                expected = side.name, result
            if result != expected[1]:
                raise RuntimeError(f"{side.name} gave {result}, {expected[0]} gave {expected[1]}")
            told = json.loads(found.stdout.splitlines()[-1]) if side.is_part else {}
            runs[side.name].append((told["seconds"] if side.is_part else found.seconds, found, told))
            shutil.rmtree(place)
    rows = expected[1][0] if expected else 0
    return [
        Figures(
            name=name,
            seconds=statistics.median(seconds for seconds, _, _ in found),
            cpu_seconds=statistics.median(run.cpu_seconds for _, run, _ in found),
            peak_mib=int(statistics.median(run.peak_mib for _, run, _ in found)),
            rows=rows,
            told={key: statistics.median(told[key] for _, _, told in found) for key in found[0][2]},
        )
        for name, found in runs.items()
    ]


HEADER = (
    "| what | own | peer | peer's | ratio | wanted | rows | CPU s, own / peer | peak MiB, own / peer |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def line(what: str, own: Figures, peer: Figures, wanted: str, ratio: str | None = None) -> str:
    """A line of the table: the ratio, where none is given, is how many times as long the peer takes."""
    ratio = ratio or f"{peer.seconds / own.seconds:.2f} x"
    return (
        f"| {what} | {own.seconds:.2f} s | {peer.name} | {peer.seconds:.2f} s | {ratio} | {wanted} | {own.rows:,} "
        f"| {own.cpu_seconds:.1f} / {peer.cpu_seconds:.1f} | {own.peak_mib:,} / {peer.peak_mib:,} |"
    )
