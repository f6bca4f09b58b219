"""Loops over arrays find what NumPy finds."""

import numpy as np
import pytest

from recruitment_platform.arrays import gathered


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.bool_])
@pytest.mark.parametrize("rows", [0, 1, 1_000])
def test_values_are_gathered_from_their_places(kind: type[np.generic], rows: int) -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 200, 77).astype(kind)
    places = rng.integers(0, 77, rows).astype(np.int32)
    found = gathered(values, places)
    assert found.dtype == values.dtype
    assert found.tolist() == values[places].tolist()
