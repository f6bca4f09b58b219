"""The lines of the table: what the platform is held to, against what.

Each line is a function of a `Bench` that gives Markdown lines. What belongs here: which sides are compared, on what.
What does not: the sides (`own_sides`, `peer_sides`, `pandas_import`), how they are compared (`comparison`).
"""

import csv
import re
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from benchmarks import results, traffic
from benchmarks.comparison import Figures, Side, compared, line
from benchmarks.measured import Measured, measured, measured_python
from recruitment_platform.settings import Settings

DAY = str(traffic.FIRST)
SPARK, DUCKDB = {"RECRUITMENT_ENGINE": "spark"}, {"RECRUITMENT_ENGINE": "duckdb"}


@dataclass(frozen=True)
class Bench:
    """Sizes, and the folder under which everything is made; what several lines are measured on is made once."""

    folder: Path
    events: int
    import_rows: int
    load_rows: int
    days: int
    events_per_day: int
    times: int

    @cached_property
    def home(self) -> Path:
        """A day of traffic, in the lake."""
        home = self.folder / "simulated"
        traffic.simulate(home, self.events)
        return home

    @cached_property
    def days_home(self) -> Path:
        """The days of traffic for runs and backfills."""
        home = self.folder / "simulated-days"
        traffic.simulate(home, self.events_per_day, self.days)
        return home

    @cached_property
    def inputs(self) -> Path:
        """The day's snapshot, and dim_jobs."""
        folder = self.folder / "inputs"
        home = traffic.copied(self.home, self.folder / "snapshot-home")
        traffic.write_inputs(home, folder)
        shutil.rmtree(home)
        return folder

    def compared(self, *sides: Side, times: int | None = None) -> list[Figures]:
        """The sides' figures."""
        return compared(sides, times or self.times, self.folder / "sides")


def simulation(bench: Bench) -> list[str]:
    """Simulating a day with its truth, into the lake's Parquet."""

    def run(place: Path) -> Measured:
        return traffic.simulate(place / "home", bench.events)

    def result(place: Path) -> tuple[int, str]:
        told = (place / "home.log").read_text()
        accepted, rejected = re.findall(r"([0-9,]+) (?:events accepted|rejected)", told)
        return sum(int(count.replace(",", "")) for count in (accepted, rejected)), told

    [own] = bench.compared(Side("simulate", run, result))
    return [
        f"| `simulate`, a day of {bench.events:,} events | {own.seconds:.2f} s, "
        f"{own.rows / own.seconds:,.0f} events/s | none | | | 1M events/s | {own.rows:,} "
        f"| {own.cpu_seconds:.1f} | {own.peak_mib:,} |"
    ]


def import_csv(bench: Bench) -> list[str]:
    """The import of a CSV export, against pandas."""
    export = bench.folder / "export.csv"
    traffic.write_export(export, bench.import_rows)
    own, peer = bench.compared(
        Side(
            "import",
            lambda place: measured(place / "home", "import", "tracking", str(export)),
            lambda place: results.imported(place / "home"),
        ),
        Side(
            "pandas in chunks",
            lambda place: measured_python(
                "-m", "benchmarks.pandas_import", str(export), str(place), home=place / "home"
            ),
            results.imported_by_pandas,
        ),
    )
    export.unlink()
    return [line(f"`import tracking`, CSV of {bench.import_rows:,} rows", own, peer, "2 x")]


def facts(bench: Bench) -> list[str]:
    """The hourly facts of a day from its snapshot; Spark's start is not counted."""
    inputs = str(bench.inputs)

    def side(name: str, module: str, what: str) -> Side:
        def run(place: Path) -> Measured:
            return measured_python(
                "-m", f"benchmarks.{module}", what, inputs, str(place / "facts"), home=place / "home"
            )

        return Side(name, run, lambda place: results.facts_in(place / "facts"), is_part=True)

    spark, duckdb, tutorial, by_hand = bench.compared(
        side("own on Spark", "own_sides", "facts-spark"),
        side("own on DuckDB", "own_sides", "facts-duckdb"),
        side("PySpark, four aggregations joined", "peer_sides", "facts-spark"),
        side("DuckDB's SQL by hand", "peer_sides", "facts-duckdb"),
    )
    what = f"facts of {bench.events:,} events"
    return [
        line(f"{what}, Spark", spark, tutorial, "2 x"),
        line(f"{what}, DuckDB", duckdb, tutorial, "10 x"),
        line(f"{what}, DuckDB", duckdb, by_hand, "0.67 x"),
    ]


def cold_day(bench: Bench) -> list[str]:
    """A cold run of a day on Spark, all told, against the same with Spark's stock settings."""

    def run(place: Path) -> Measured:
        home = traffic.copied(bench.home, place / "home")
        return measured(home, "run", "--from", DAY, "--to", DAY, settings=SPARK)

    def stock(place: Path) -> Measured:
        home = traffic.copied(bench.home, place / "home")
        return measured_python("-m", "benchmarks.dagster_sides", "run-stock", DAY, home=home, settings=SPARK)

    own, peer = bench.compared(
        Side("run", run, lambda place: results.published(place / "home")),
        Side("Spark's stock settings", stock, lambda place: results.published(place / "home")),
    )
    return [line(f"cold `run` of a day of {bench.events:,} events, Spark", own, peer, "1.5 x")]


def snapshot(bench: Bench) -> list[str]:
    """The snapshot of a day, against DuckDB's SQL by hand."""

    def run(place: Path) -> Measured:
        home = traffic.copied(bench.home, place / "home")
        return measured_python("-m", "benchmarks.own_sides", "snapshot", DAY, home=home)

    def by_hand(place: Path) -> Measured:
        home = traffic.copied(bench.home, place / "home")
        out = str(place / "snapshot.parquet")
        return measured_python("-m", "benchmarks.peer_sides", "snapshot", DAY, out, home=home)

    own, peer = bench.compared(
        Side("snapshot", run, lambda place: results.snapshot_of(place / "home"), is_part=True),
        Side(
            "DuckDB's SQL by hand", by_hand, lambda place: results.snapshot_in(place / "snapshot.parquet"), is_part=True
        ),
    )
    return [line(f"snapshot of {bench.events:,} events", own, peer, "0.67 x")]


def dagster_day(bench: Bench) -> list[str]:
    """A day through Dagster in a warm process, the engine and Dagster itself taken off."""
    second = str(traffic.FIRST + timedelta(days=1))

    def side(name: str, what: str) -> Side:
        def run(place: Path) -> Measured:
            home = traffic.copied(bench.days_home, place / "home")
            return measured_python("-m", "benchmarks.dagster_sides", what, DAY, second, home=home, settings=DUCKDB)

        return Side(name, run, lambda place: (bench.events_per_day, ""), is_part=True)

    own, peer = bench.compared(side("warm day", "own-day"), side("Dagster with empty assets", "empty-day"))
    ours = own.seconds - peer.seconds - own.told["engine"]
    split = ", ".join(f"{name} {seconds:.2f}" for name, seconds in own.told.items() if name != "seconds")
    what = f"a warm day of {bench.events_per_day:,} events through Dagster, DuckDB ({split})"
    return [line(what, own, peer, "our part under 2 s", f"our part {ours:.2f} s")]


def backfill(bench: Bench) -> list[str]:
    """A backfill of many days, against a run for each; the latter once."""
    days = [str(traffic.FIRST + timedelta(days=number)) for number in range(bench.days)]

    def run(place: Path) -> Measured:
        home = traffic.copied(bench.days_home, place / "home")
        return measured(home, "backfill", "--from", days[0], "--to", days[-1], settings=SPARK)

    def each(place: Path) -> Measured:
        home = traffic.copied(bench.days_home, place / "home")
        runs = [measured(home, "run", "--from", day, "--to", day, settings=SPARK) for day in days]
        return Measured(
            "",
            sum(one.seconds for one in runs),
            max(one.peak_mib for one in runs),
            sum(one.cpu_seconds for one in runs),
        )

    own, peer = bench.compared(
        Side("backfill", run, lambda place: results.published(place / "home")),
        Side(f"{bench.days} runs of a day", each, lambda place: results.published(place / "home")),
        times=1,
    )
    return [line(f"`backfill`, {bench.days} days of {bench.events_per_day:,} events, Spark", own, peer, "10 x")]


def load(bench: Bench) -> list[str]:
    """The load of a day's facts, its verification apart, against DuckDB's insert."""
    file = bench.folder / "facts.parquet"
    traffic.write_facts(file, bench.load_rows)

    def side(name: str, module: str, *arguments: str) -> Side:
        def run(place: Path) -> Measured:
            return measured_python("-m", f"benchmarks.{module}", "load", *arguments, str(file), home=place / "home")

        def result(place: Path) -> tuple[int, str]:
            return results.published(place / "home")

        return Side(name, run, result, is_part=True)

    own, peer = bench.compared(side("load", "own_sides", DAY), side("DuckDB's insert", "peer_sides"))
    what = f"load of {bench.load_rows:,} facts (verification {own.told['verification']:.2f} s apart)"
    return [line(what, own, peer, "0.77 x")]


def imports(bench: Bench) -> list[str]:
    """What Python takes to import the package's command line, and the code location; a bare Python for comparison."""
    told = []
    for what in ("recruitment_platform.cli", "recruitment_platform.definitions", "dagster"):
        statement = f"import sys, {what}; print(len(sys.modules))"
        runs = [measured_python("-c", statement, home=bench.folder / "imports") for _ in range(bench.times)]
        own = measured_python("-X", "importtime", "-c", statement, home=bench.folder / "imports")
        slowest = ", ".join(f"{name} {seconds:.2f}" for name, seconds in _slowest(bench.folder / "imports.log"))
        seconds = statistics.median(run.seconds for run in runs)
        told.append(
            f"| `import {what}` (of its own: {slowest}) | {seconds:.2f} s | none | | | | {int(own.stdout):,} modules "
            f"| {statistics.median(run.cpu_seconds for run in runs):.1f} | {max(run.peak_mib for run in runs):,} |"
        )
    return told


def _slowest(log: Path, most: int = 5) -> list[tuple[str, float]]:
    """The packages that take longest, by `-X importtime`: the seconds of their modules without what those import."""
    seconds: dict[str, float] = {}
    for own, _, name in csv.reader(log.read_text().splitlines()[1:], delimiter="|"):
        package = name.strip().partition(".")[0]
        seconds[package] = seconds.get(package, 0) + int(own.rpartition(":")[2]) / 1e6
    return sorted(seconds.items(), key=lambda item: -item[1])[:most]


def growth(bench: Bench, sizes: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Simulating and running so many events a day on so many days, each once: time, memory, files and bytes.

    What a run leaves is counted without what the lake holds already.
    """
    for events, days in sizes:
        home = bench.folder / f"{events}-{days}"
        runs = {"simulate": (traffic.simulate(home, events, days), _held(Settings(home=home).lake_path))}
        last = str(traffic.FIRST + timedelta(days=days - 1))
        for settings in (DUCKDB, SPARK):
            copy = traffic.copied(home, bench.folder / "grown")
            run = measured(copy, "run", "--from", DAY, "--to", last, settings=settings)
            left = Settings(home=copy)
            files, size = _held(left.object_store_path)
            left_over = files + 1, size + left.warehouse_path.stat().st_size
            runs[f"run, {settings['RECRUITMENT_ENGINE']}"] = run, left_over
            shutil.rmtree(copy)
        shutil.rmtree(home)
        for what, (run, (files, size)) in runs.items():
            yield (
                f"| {events:,} | {days} | {what} | {run.seconds:.1f} | {run.seconds / (events * days / 1e6):.2f} "
                f"| {run.cpu_seconds:.1f} | {run.peak_mib:,} | {files:,} | {size / 1e6:,.0f} |"
            )


def _held(folder: Path) -> tuple[int, int]:
    """Files in the folder, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


LINES: Mapping[str, Callable[[Bench], list[str]]] = {
    "simulate": simulation,
    "import": import_csv,
    "facts": facts,
    "cold-day": cold_day,
    "snapshot": snapshot,
    "dagster-day": dagster_day,
    "backfill": backfill,
    "load": load,
    "imports": imports,
}
"""By the name under which a line can be asked for alone."""
