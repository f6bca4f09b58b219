"""`make bench`: the platform's own work against what a user would write instead, in one table.

What belongs here: options, and printing. What does not: the lines (`lines`).
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.comparison import HEADER
from benchmarks.lines import LINES, Bench, growth

GROWTH_HEADER = (
    "| events a day | days | what | s | s for a million | CPU s | peak MiB | files left | MB left |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def events_and_days(text: str) -> tuple[int, int]:
    """`1000000x30` as events a day and days."""
    events, _, days = text.partition("x")
    return int(events), int(days or 1)


def main() -> None:
    """Makes the data, measures each line, prints each when it is there."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="of the one day")
    parser.add_argument("--import-rows", type=int, default=1_000_000)
    parser.add_argument("--load-rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30, help="of the backfill")
    parser.add_argument("--events-per-day", type=int, default=200_000, help="of the backfill's days")
    parser.add_argument("--times", type=int, default=5, help="runs of each side; their medians are shown")
    parser.add_argument("--only", choices=LINES, nargs="+", default=list(LINES))
    parser.add_argument(
        "--growth",
        type=events_and_days,
        nargs="+",
        metavar="EVENTSxDAYS",
        help="instead: so many events on so many days, simulated and run once",
    )
    parser.add_argument("--folder", type=Path, help="where there is room; the system's for temporary files by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
        bench = Bench(
            folder=Path(folder),
            events=asked.events,
            import_rows=asked.import_rows,
            load_rows=asked.load_rows,
            days=asked.days,
            events_per_day=asked.events_per_day,
            times=asked.times,
        )
        if asked.growth:
            print(GROWTH_HEADER, flush=True)
            for told in growth(bench, asked.growth):
                print(told, flush=True)
            return
        print(HEADER, flush=True)
        for name in asked.only:
            print("\n".join(LINES[name](bench)), flush=True)


if __name__ == "__main__":
    main()
