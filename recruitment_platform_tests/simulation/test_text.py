"""Texts made by the column are those that would be made one by one."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from recruitment_platform.simulation.kernels import time_texts
from recruitment_platform.simulation.market import NONE
from recruitment_platform.simulation.text import placed, replaced, spelled, with_hex_digits


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
    rows, others = np.array([0, 2]), pa.array(["p", "p"])
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 2], pa.int32()), ["a", "b", None])
    for kept in (pa.array(["a", "b", None, None]), coded):
        assert replaced(kept, rows, others).to_pylist() == ["p", "b", "p", None]


def test_hex_digits_fill_the_pairs_of_zeros() -> None:
    words = np.array([0x0123456789ABCDEF, 2**64 - 1], np.uint64)
    assert with_hex_digits("1-00000000-00000000", words).to_pylist() == ["1-01234567-89abcdef", "1-ffffffff-ffffffff"]
    assert with_hex_digits("0000", words).to_pylist() == ["0123", "ffff"]


def test_times_of_any_year_are_those_of_the_calendar() -> None:
    rng = np.random.default_rng(2)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first, last = (int((datetime(year, 1, 1, tzinfo=UTC) - epoch).total_seconds()) for year in (1583, 9999))
    seconds = np.append(rng.integers(first, last, 5_000), [-1, 0, 951_782_399, 951_782_400, 4_107_542_399])
    times = seconds * 1_000_000 + rng.choice([0, 1_000, 999_999], len(seconds))
    forms = rng.integers(0, 2, len(times))
    shifts, separators = np.array([0, -12_600_000_000]), np.frombuffer(b" T", np.uint8)
    ends = np.array([0, 1, 6], np.int32)
    octets, offsets = time_texts(times, forms, shifts, separators, np.frombuffer(b"Z-0330", np.uint8), ends)
    made = pa.Array.from_buffers(pa.string(), len(times), [None, pa.py_buffer(offsets), pa.py_buffer(octets)])
    for text, time, form in zip(made.to_pylist(), times.tolist(), forms.tolist(), strict=True):
        precision = "auto" if time % 1_000 else "milliseconds" if time % 1_000_000 else "seconds"
        local = epoch.replace(tzinfo=None) + timedelta(microseconds=time + int(shifts[form]))
        assert text == local.isoformat(" T"[form], precision) + ("Z", "-0330")[form]
