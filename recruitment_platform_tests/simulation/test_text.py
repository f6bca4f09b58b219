"""Texts made by the column are those that would be made one by one."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from recruitment_platform.simulation import text
from recruitment_platform.simulation.kernels import time_texts
from recruitment_platform.simulation.market import NONE
from recruitment_platform.simulation.text import (
    as_ints,
    of_dictionary,
    picked,
    reordered,
    replaced,
    spelled,
    validity,
    with_hex_digits,
    with_nulls,
)


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


def test_texts_that_were_spelled_before_are_those_of_each_also_when_too_many_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[tuple[int, int]] = []

    def spell(value: int, form: int) -> str:
        said.append((value, form))
        return f"{value}:{form}"

    def assert_spelled(values: list[int]) -> None:
        numbers, zeros = np.array(values, np.int64), np.zeros(len(values), np.int8)
        texts = spelled(numbers, zeros, spell, ["none"], zeros).to_pylist()
        assert texts == ["none" if value == NONE else f"{value}:0" for value in values]

    assert_spelled([3, int(NONE), 1])
    assert_spelled([1, 1, -2, 3])
    assert sorted(said) == [(-2, 0), (1, 0), (3, 0)]
    assert_spelled([])
    monkeypatch.setattr(text, "MOST_SPELLED", 3)
    assert_spelled([7, 1])
    assert_spelled([7, 3])
    assert said[3:] == [(7, 0), (1, 0), (3, 0)]


def test_numbers_and_nulls_come_and_go_as_they_are() -> None:
    values = [5, None, -1, None, 2**62]
    for array in (
        pa.array(values),
        pa.array([7, None, *values, 8]).slice(2, 5),
        pa.chunked_array([values[:1], values[1:]]),
    ):
        assert as_ints(array).tolist() == [int(NONE) if value is None else value for value in values]
    assert as_ints(pa.array([1, None], pa.int8())).tolist() == [1, NONE]
    assert as_ints(pa.array([], pa.int64())).tolist() == []
    valid = np.array([value is not None for value in values])
    assert validity(pa.array([0, *values]).slice(1)).tolist() == valid.tolist()
    made = with_nulls(np.arange(5, dtype=np.int32), valid)
    made.validate(full=True)
    assert made.to_pylist() == [0, None, 2, None, 4]
    texts = picked(["a", None, "b", "a"], np.array([3, 1, 2, 0]))
    texts.validate(full=True)
    assert texts.to_pylist() == ["a", None, "b", "a"]


def test_rows_are_reordered_whatever_their_columns() -> None:
    rng = np.random.default_rng(4)
    numbers = [None if number < 3 else int(number) for number in rng.integers(0, 9, 500)]
    texts = [None if number is None else f"text {number}" for number in numbers]
    codes = pa.array(numbers, pa.int32())
    rows = pa.table(
        {
            "whole": np.arange(500),
            "numbers": pa.chunked_array([[1, 2], numbers]).slice(2),
            "small": pa.array(numbers, pa.int8()),
            "texts": pa.array(["", *texts]).slice(1),
            "coded": of_dictionary(codes, pa.array(["x", None, "z", *"abcdef"])),
            "nothing": pa.nulls(500, pa.dictionary(pa.int32(), pa.string())),
        }
    )
    order = rng.integers(0, 500, 700)
    made = reordered(rows, order)
    made.validate(full=True)
    assert made.schema == rows.schema
    plain = rows.to_pylist()
    assert made.to_pylist() == [plain[row] for row in order.tolist()]


def test_texts_are_replaced_where_they_belong() -> None:
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
    shifts, separators = np.array([0, -12_600]), np.frombuffer(b" T", np.uint8)
    ends = np.array([0, 1, 6], np.int32)
    octets, offsets = time_texts(times, forms, shifts, separators, np.frombuffer(b"Z-0330", np.uint8), ends)
    made = pa.Array.from_buffers(pa.string(), len(times), [None, pa.py_buffer(offsets), pa.py_buffer(octets)])
    for found, time, form in zip(made.to_pylist(), times.tolist(), forms.tolist(), strict=True):
        precision = "auto" if time % 1_000 else "milliseconds" if time % 1_000_000 else "seconds"
        local = epoch.replace(tzinfo=None) + timedelta(microseconds=time, seconds=int(shifts[form]))
        assert found == local.isoformat(" T"[form], precision) + ("Z", "-0330")[form]
