"""`make bench`: one look of each sensor over a year of published days, with nothing to do, and with all to do.

What belongs here: what a look costs, for few events a day and for many. What does not: whether it finds the right days;
that is what tests are for.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from benchmarks.measured import measured
from recruitment_platform.automation.attempts import INPUT_TAG
from recruitment_platform.automation.instance import open_instance
from recruitment_platform.automation.sensors import FRESHNESS, LATE_DATA
from recruitment_platform.definitions import build_definitions
from recruitment_platform.settings import Settings

LOOKS = 7


def main() -> None:
    """Simulates and publishes the days, looks, removes what is published, looks again; prints a Markdown table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--events-per-day", type=int, nargs="+", default=[100, 2_000])
    asked = parser.parse_args()
    last = datetime.now(UTC).date() - timedelta(days=1)
    days = ("--from", str(last - timedelta(days=asked.days - 1)), "--to", str(last))
    print("| a look over | sensor | nothing to do, s | of these CPU | all to do, s | of these CPU |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for events in asked.events_per_day:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            home = Path(folder) / "home"
            measured(home, "simulate", *days, "--events-per-day", str(events))
            measured(home, "run", *days, settings={"RECRUITMENT_ENGINE": "duckdb"})
            settings = Settings(home=home, engine="duckdb", freshness_grace=timedelta(0), look_back_days=asked.days)
            for sensor in (FRESHNESS, LATE_DATA):
                with open_instance(settings) as instance:
                    idle, _ = looks(instance, settings, sensor)
                emptied = Path(folder) / "emptied"
                shutil.copytree(home, emptied)
                (emptied / "warehouse.duckdb").unlink()
                busy_settings = settings.model_copy(update={"home": emptied})
                if sensor == LATE_DATA:  # no day is expected: all are behind
                    busy_settings = busy_settings.model_copy(update={"freshness_grace": timedelta(days=36_500)})
                with open_instance(busy_settings) as instance:
                    busy, found = looks(instance, busy_settings, sensor)
                assert found >= asked.days, f"{found} of {asked.days} days were asked for"
                shutil.rmtree(emptied)
                print(
                    f"| {asked.days} days of {events:,} events | `{sensor}` | {idle} | {busy} |",
                    flush=True,
                )


def looks(instance: dg.DagsterInstance, settings: Settings, name: str) -> tuple[str, int]:
    """The median seconds of a look by the clock and of CPU, as cells; and how many days the last one asked for."""
    repository = build_definitions(settings).get_repository_def()
    sensor = repository.get_sensor_def(name)
    clock, cpu, days = [], [], 0
    for _ in range(LOOKS):
        started = time.perf_counter(), time.process_time()
        with dg.build_sensor_context(instance, repository_def=repository, sensor_name=name) as context:
            found = sensor.evaluate_tick(context)
        clock.append(time.perf_counter() - started[0])
        cpu.append(time.process_time() - started[1])
        days = sum(tag.startswith(INPUT_TAG) for one in found.run_requests or () for tag in one.tags)
    return f"{statistics.median(clock):.2f} | {statistics.median(cpu):.2f}", days


if __name__ == "__main__":
    main()
