"""Choices are those that NumPy would make of the same random numbers: traffic of a seed is what it was."""

from collections.abc import Sequence

import numpy as np
import pytest

from recruitment_platform.simulation.chance import chosen
from recruitment_platform.simulation.habits import BIDS, KIND_SHARES
from recruitment_platform.simulation.visits import GUIDED, choice


@pytest.mark.parametrize(
    "shares",
    [
        (1.0,),
        (0.5, 0.5),
        (0.0, 1.0, 0.0),
        tuple(KIND_SHARES.values()),
        tuple(BIDS.values()),
        tuple(np.full(1_000, 0.001)),
        tuple(np.full(3 * GUIDED, 1 / (3 * GUIDED))),
    ],
    ids=len,
)
def test_choices_are_those_of_numpy(shares: Sequence[float]) -> None:
    drawn = chosen(np.random.default_rng(5), shares, 20_000)
    assert drawn.tolist() == np.random.default_rng(5).choice(len(shares), 20_000, p=shares).tolist()


def test_a_number_on_an_edge_belongs_to_what_follows() -> None:
    until = np.array([0.25, 0.5 - 2**-54, 0.5, 1.0])
    guide = np.searchsorted(until, np.arange(GUIDED) / GUIDED, side="right")
    numbers = np.array([0.0, 0.25 - 2**-54, 0.25, 0.5 - 2**-54, 0.5, 1 - 2**-53])
    chosen_ones = [choice(number, (until, guide)) for number in numbers.tolist()]
    assert chosen_ones == np.searchsorted(until, numbers, side="right").tolist()
