"""`make bench`: the README's measurements, through the command line as a user calls it.

What belongs here: what is measured, and how. What does not: judging it; that is what tests are for.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recruitment_platform.transforms.engines import DuckDBEngine, SparkEngine

PAUSE = 0.1
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Measured:
    """Seconds, and the most memory in bytes that the process and all it started held at once."""

    seconds: float
    peak: int


def measure(home: Path, engine: str, *arguments: str) -> Measured:
    """Runs the command line; its data is thrown away, what it tells goes to stderr."""
    environment = os.environ | {"RECRUITMENT_HOME": str(home), "RECRUITMENT_ENGINE": engine}
    command = [sys.executable, "-m", "recruitment_platform.cli", *arguments]
    started = time.monotonic()
    peak = 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None:
            peak = max(peak, _memory_of_session(process.pid))
            time.sleep(PAUSE)
    if process.returncode:
        sys.exit(f"{' '.join(arguments)}: exit code {process.returncode}")
    return Measured(time.monotonic() - started, peak)


def _memory_of_session(session: int) -> int:
    """Resident bytes, those that processes share counted once."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            # The command's name stands in parentheses and may hold anything; the session is the fourth field after it.
            if int((process / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                rollup = (process / "smaps_rollup").read_text()
                total += 1024 * int(rollup.partition("\nPss:")[2].split()[0])
    return total


def main() -> None:
    """Simulates, materializes on both engines, asks; prints a Markdown table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--events-per-day", type=int, default=200_000)
    asked = parser.parse_args()
    last = datetime.now(UTC).date() - timedelta(days=1)
    days = ("--from", str(last - timedelta(days=asked.days - 1)), "--to", str(last))
    traffic = f"{asked.days} days of {asked.events_per_day:,} events"
    lines = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        simulated = Path(folder) / "simulated"
        measured = measure(simulated, "duckdb", "simulate", *days, "--events-per-day", str(asked.events_per_day))
        lines.append((f"`simulate` {traffic}, every fault", "", measured))
        for engine in (SparkEngine.name, DuckDBEngine.name):
            home = Path(folder) / engine
            shutil.copytree(simulated, home)
            lines.append((f"`run` {traffic}", engine, measure(home, engine, "run", *days)))
            lines.append((f"`run` again, {traffic}", engine, measure(home, engine, "run", *days)))
        lines.append(("`status`, with the score", "", measure(home, engine, "status")))
        question = "select dates, hours, sum(clicks) from job_performance group by all"
        lines.append(
            ("`query` over `job_performance`", "", measure(home, engine, "query", "--format", "csv", question))
        )
    print("| what | engine | seconds | peak memory |\n| --- | --- | --- | --- |")
    for what, engine, found in lines:
        print(f"| {what} | {engine} | {found.seconds:.1f} | {found.peak / 2**20:,.0f} MB |")


if __name__ == "__main__":
    main()
