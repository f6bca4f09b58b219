"""Random choices by their shares: those of NumPy's `Generator.choice`, number for number, in a tenth of its time.

What belongs here: drawing. What does not: what is drawn (`events`, `times`, `encoding`).
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from recruitment_platform.simulation.market import Ints

Guided = tuple[npt.NDArray[np.float64], Ints]
"""Up to which number each is chosen, and which one is the first in each part of the unit interval."""


def chosen(rng: np.random.Generator, shares: Sequence[float], count: int) -> Ints:
    """So many indexes into the shares, each as often as its share says."""
    from recruitment_platform.simulation.visits import choices

    drawn: Ints = choices(rng, guided(tuple(shares)), count)
    return drawn


@cache
def guided(shares: tuple[float, ...]) -> Guided:
    """How to choose by these shares, for loops."""
    from recruitment_platform.simulation.visits import GUIDED

    until = np.cumsum(shares)
    until /= until[-1]
    return until, np.searchsorted(until, np.arange(GUIDED) / GUIDED, side="right")
