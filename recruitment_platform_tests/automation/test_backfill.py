"""A backfill's plan: which days, in which runs, in which order."""

from collections.abc import Sequence

import pytest

from recruitment_platform.automation.backfill import plan
from recruitment_platform.pipeline.status import STATES, DayStatus, State
from recruitment_platform_tests.runs import day

S: State = "stale"
M: State = "missing"
P: State = "published"


def standing(*states: State) -> list[DayStatus]:
    return [
        DayStatus(day=day(n), accepted=1, distinct=None, rows=None, clicks=None, spend_micros=None, state=state)
        for n, state in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("states", "only", "in_flight", "days_per_run", "runs"),
    [
        ([M] * 7, STATES, [], None, [[0, 1, 2, 3, 4, 5, 6]]),
        ([M] * 7, STATES, [], 0, [[0, 1, 2, 3, 4, 5, 6]]),
        ([M] * 7, STATES, [], 3, [[4, 5, 6], [1, 2, 3], [0]]),
        ([M] * 3, STATES, [], 1, [[2], [1], [0]]),
        ([P, S, P, S, S, M], [S], [], None, [[3, 4], [1]]),
        ([P, S, P, S, S, M], [S, M], [], 2, [[4, 5], [3], [1]]),
        ([M] * 5, STATES, [2], None, [[3, 4], [0, 1]]),
        ([M] * 2, STATES, [0, 1], None, []),
        ([P, P], [M], [], 7, []),
    ],
)
def test_days_are_run_in_rows_of_at_most_so_many_the_newest_first(
    states: Sequence[State],
    only: Sequence[State],
    in_flight: Sequence[int],
    days_per_run: int | None,
    runs: list[list[int]],
) -> None:
    found = plan(standing(*states), only, {day(n): "run x" for n in in_flight}, days_per_run)
    assert [[(one - day(0)).days for one in chunk.days] for chunk in found.chunks] == runs
    asked = [n for n, state in enumerate(states) if state in only]
    assert [(one.status.day - day(0)).days for one in found.days] == asked[::-1]
    numbers = {n: number for number, run in enumerate(runs, start=1) for n in run}
    assert [one.run for one in found.days] == [numbers.get(n) for n in asked[::-1]]
    assert [bool(one.in_flight) for one in found.days] == [n in in_flight for n in asked[::-1]]
