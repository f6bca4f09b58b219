"""`payload_hash`: that it is what its definition says, of any values, and as good as 64 bits can be."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from recruitment_platform.model.contract import TRACKING
from recruitment_platform.model.door import DoorRules, through
from recruitment_platform.model.door_hash import number_hashes, row_hashes, text_hashes
from recruitment_platform.simulation.faults import payload_hash

RULES = DoorRules(time_zone="UTC", first_day=date(1600, 1, 1))
NOW = datetime(2024, 8, 1, tzinfo=UTC)
ID = "3ce54830-0cb0-11ed-a1c8-d08db82170b0"
COLUMNS = len(TRACKING.columns)


def hashes_of(texts: Sequence[bytes]) -> list[int]:
    ends = np.cumsum([0, *map(len, texts)])
    return [int(found) for found in text_hashes(np.frombuffer(b"".join(texts) or b"\0", np.uint8), ends)]


def of_numbers(numbers: Any) -> Any:
    return number_hashes(np.asarray(numbers, np.int64), np.zeros(len(numbers), np.bool_))


@pytest.mark.parametrize(
    ("text", "published"),
    [
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_a_texts_hash_is_xxh64_as_published(text: bytes, published: int) -> None:
    assert hashes_of([text]) == [xxh64_intdigest(text)] == [published]
    assert xxh64_intdigest(b"") == 0xEF46DB3751D8E999


@given(texts=st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=20))
def test_hashes_of_bytes_of_any_length_are_those_of_the_library(texts: list[bytes]) -> None:
    assert hashes_of(texts) == [xxh64_intdigest(text) for text in texts]


def test_empty_and_null_are_one_and_like_no_value() -> None:
    assert hashes_of([b"", b"a", b""]) == [0, xxh64_intdigest(b"a"), 0]
    assert number_hashes(np.array([0, 0]), np.array([True, False])).tolist() == [0, xxh64_intdigest(bytes(8))]


any_text = st.text(st.characters(codec="utf-8"), max_size=80)
ints = st.integers(-(2**31), 2**31 - 1)
values = {
    column.name: {"text": any_text, "int": ints, "decimal": st.integers(0, 10**18 - 1)}.get(
        column.type.kind, st.integers(-(10**15), 10**15)
    )
    | st.none()
    for column in TRACKING.columns
} | {"create_time": st.uuids(version=1).map(str) | st.just(ID)}


def as_raw(row: dict[str, Any]) -> dict[str, str | None]:
    def raw(kind: str, value: Any) -> str | None:
        if value is None:
            return None
        if kind == "decimal":
            return f"{value // 10**6}.{value % 10**6:06d}"
        if kind == "timestamp":
            return f"{np.datetime64(value, 'us')}"
        return str(value)

    return {column.name: raw(column.type.kind, row[column.name]) for column in TRACKING.columns}


@given(row=st.fixed_dictionaries(values), too_long=st.sampled_from(TRACKING.columns))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_doors_hash_of_any_row_is_that_of_the_plain_python(row: dict[str, Any], too_long: Any) -> None:
    if too_long.type.kind == "text" and too_long.name != "create_time":
        row = {**row, too_long.name: (row[too_long.name] or "é") * too_long.type.length}
    rows = [row, {**row, "create_time": ID}, row]
    raw = pa.table({name: pa.array([as_raw(one)[name] for one in rows], pa.string()) for name in TRACKING.column_names})
    again = pa.table({name: raw[name].dictionary_encode() for name in raw.column_names})
    for table in (raw, again):
        judged = through(table, RULES, "file:f", 1, NOW)
        found = dict(zip(*(judged.accepted[name].to_pylist() for name in ("position", "payload_hash")), strict=True))
        assert set(judged.rejected["reason"].to_pylist()) <= {"create_time lies in the future"} | {
            f"event day is before the first day {RULES.first_day}"
        }
        assert found == {at: payload_hash(rows[at - 1]) for at in found}
        assert 2 in found


def structured_rows(count: int) -> list[tuple[Any, None]]:
    """Rows that differ by a little: counters in some columns, the same value in many others, nulls in the rest."""
    number = np.arange(count)
    same = of_numbers(np.full(count, 7))
    counting = [number % 100, number // 100 % 100, number // 10_000]
    varied = [(of_numbers(numbers), None) for numbers in counting]
    nulls = [(np.zeros(count, np.uint64), None)] * (COLUMNS - len(varied) - 4)
    return [
        varied[0],
        (same, None),
        *nulls[:10],
        varied[1],
        (same, None),
        *nulls[10:],
        (same, None),
        varied[2],
        (same, None),
    ]


def test_a_million_rows_that_differ_by_a_little_share_no_hash_and_use_all_bits_alike() -> None:
    count = 1_000_000
    hashes = row_hashes(structured_rows(count), count).view(np.uint64)
    assert len(np.unique(hashes)) == count
    for half in (np.uint64(0), np.uint64(32)):
        # Of so many values of 32 bits, 116 pairs are alike by chance.
        alike = count - len(np.unique((hashes >> half).astype(np.uint32)))
        assert 60 < alike < 180
    for bit in range(64):
        assert (hashes >> np.uint64(bit) & np.uint64(1)).mean() == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize("column", [0, 1, 14, 27, 28])
def test_another_value_in_one_column_changes_half_of_the_bits(column: int) -> None:
    count = 20_000
    columns: list[tuple[Any, None]] = [(of_numbers(np.full(count, at)), None) for at in range(COLUMNS)]
    plain = row_hashes(columns, count).view(np.uint64)
    columns[column] = (of_numbers(np.arange(count) + 1_000), None)
    changed = plain ^ row_hashes(columns, count).view(np.uint64)
    assert len(np.unique(changed)) == count
    for bit in range(64):
        assert (changed >> np.uint64(bit) & np.uint64(1)).mean() == pytest.approx(0.5, abs=0.02)


def test_a_value_counts_by_its_column_and_none_cancels_another() -> None:
    some = {"": 0, "a": xxh64_intdigest(b"a"), "b": xxh64_intdigest(b"b")}
    found = set()
    choices = list(product(some, repeat=3))
    for chosen in choices:
        columns = [(np.array([some[text]], np.uint64), None) for text in chosen]
        rest = [(np.zeros(1, np.uint64), None)] * (COLUMNS - 3)
        found.add(int(row_hashes([*columns, *rest], 1)[0]))
        found.add(int(row_hashes([*rest, *columns], 1)[0]))
    assert len(found) == 2 * len(choices) - 1  # all null is the same row in both


def test_a_column_as_a_dictionary_has_the_hashes_that_it_has_row_by_row() -> None:
    codes = np.array([2, 0, 1, 1, 2], np.int32)
    values = of_numbers([5, -6, 7])
    by_dictionary = row_hashes([(values, codes)] * COLUMNS, len(codes))
    assert by_dictionary.tolist() == row_hashes([(values[codes], None)] * COLUMNS, len(codes)).tolist()
