"""Random choices by their shares: those of NumPy's `Generator.choice`, number for number, in a tenth of its time.

What belongs here: drawing. What does not: what is drawn (`events`, `times`, `encoding`).
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from recruitment_platform.simulation.market import Ints


def chosen(rng: np.random.Generator, shares: Sequence[float], count: int) -> Ints:
    """So many indexes into the shares, each as often as its share says."""
    from recruitment_platform.simulation.kernels import choices

    drawn: Ints = choices(rng.random(count), *_guided(tuple(shares)))
    return drawn


@cache
def _guided(shares: tuple[float, ...]) -> tuple[npt.NDArray[np.float64], Ints]:
    """(up to which number each one is chosen, which one is the first in each part of the unit interval)."""
    from recruitment_platform.simulation.kernels import GUIDED

    until = np.cumsum(shares)
    until /= until[-1]
    return until, np.searchsorted(until, np.arange(GUIDED) / GUIDED, side="right")
