"""The benchmarks' two sides come to the same rows: each comparison once, on a few thousand events.

Whether they do is judged by the comparison itself, which raises; here it is run, and seen to raise. Comparisons of
whole runs on Spark, and with a Dagster that does nothing, are left to `make bench`: no rules are written twice there.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.comparison import Side, compared
from benchmarks.lines import LINES, Bench
from benchmarks.measured import Measured

EVENTS = 3_000


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Sizes so small that the processes' starts are what takes time."""
    folder = tmp_path_factory.mktemp("bench")
    return Bench(folder, EVENTS, import_rows=EVENTS, load_rows=EVENTS, days=2, events_per_day=500, times=1)


@pytest.mark.parametrize("name", ["import", "facts", "snapshot", "load"])
def test_both_sides_give_the_same_rows(bench: Bench, name: str) -> None:
    lines = LINES[name](bench)
    assert [line.count("|") for line in lines] == [10] * len(lines)


def test_sides_that_differ_are_no_comparison(tmp_path: Path) -> None:
    side = Side("one", lambda place: Measured("", 1.0, 1, 1.0), lambda place: (1, "a"))
    [figures] = compared([side], 3, tmp_path)
    assert (figures.seconds, figures.rows) == (1.0, 1)
    other = replace(side, name="other", result=lambda place: (1, "b"))
    with pytest.raises(RuntimeError, match="other gave"):
        compared([side, other], 1, tmp_path)
