"""Texts made by the column are those that would be made one by one."""

import numpy as np
import pyarrow as pa

from recruitment_platform.simulation.market import NONE
from recruitment_platform.simulation.text import picked, placed, replaced, spelled, with_hex_digits


def test_spellings_of_any_number_of_values_are_those_of_each() -> None:
    rng = np.random.default_rng(1)
    values = rng.choice(np.array([NONE, 0, -1, 2**31 - 1, *rng.integers(-(2**40), 2**40, 3_000)]), 10_000)
    forms, which = rng.integers(0, 16, len(values)), rng.integers(0, 3, len(values))
    instead = ["", None, "null"]
    texts = spelled(values, forms, "{}/{}".format, instead, which)
    expected = [
        instead[other] if value == NONE else f"{value}/{form}"
        for value, form, other in zip(values.tolist(), forms.tolist(), which.tolist(), strict=True)
    ]
    assert texts.to_pylist() == expected
    assert len(texts.dictionary) == len(set(expected))


def test_texts_are_placed_and_replaced_where_they_belong() -> None:
    texts = pa.array(["x", "", "long", "é"]).slice(1)
    assert placed(5, np.array([0, 2, 4]), texts).to_pylist() == ["", None, "long", None, "é"]
    here, others = np.array([True, False, True, False]), pa.array(["p", "p"])
    for kept in (pa.array(["a", "b", None, None]), picked(["a", "b", None], np.array([0, 1, 2, 2]))):
        assert replaced(kept, here, others).to_pylist() == ["p", "b", "p", None]


def test_hex_digits_fill_the_pairs_of_zeros() -> None:
    words = np.array([0x0123456789ABCDEF, 2**64 - 1], np.uint64)
    assert with_hex_digits("1-00000000-00000000", words).to_pylist() == ["1-01234567-89abcdef", "1-ffffffff-ffffffff"]
    assert with_hex_digits("0000", words).to_pylist() == ["0123", "ffff"]
