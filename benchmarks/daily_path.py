"""`make bench`: the daily path through the command line, as a user calls it, in wall time and memory.

What belongs here: what is measured. What does not: how (`measured`), and judging it; that is what tests are for.
"""

import argparse
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.measured import measured
from recruitment_platform.transforms.engines import DuckDBEngine, SparkEngine


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
        simulation = measured(simulated, "simulate", *days, "--events-per-day", str(asked.events_per_day))
        lines.append((f"`simulate` {traffic}, every fault", "", simulation))
        for engine in (SparkEngine.name, DuckDBEngine.name):
            home = Path(folder) / engine
            shutil.copytree(simulated, home)
            settings = {"RECRUITMENT_ENGINE": engine}
            for what in ("`run`", "`run` again,"):
                lines.append((f"{what} {traffic}", engine, measured(home, "run", *days, settings=settings)))
        lines.append(("`status`, with the score", "", measured(home, "status")))
        question = "select dates, hours, sum(clicks) from job_performance group by all"
        lines.append(("`query` over `job_performance`", "", measured(home, "query", "--format", "csv", question)))
    print("| what | engine | seconds | peak memory |\n| --- | --- | --- | --- |")
    for what, engine, found in lines:
        print(f"| {what} | {engine} | {found.seconds:.1f} | {found.peak_mib:,} MiB |")


if __name__ == "__main__":
    main()
