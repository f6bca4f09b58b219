"""Columns of a batch of raw tracking events as texts, each value that comes again kept once.

What belongs here: which text a value of any Arrow type is, and which rows have the same. What does not: what the texts
mean (`door`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.sql import connect_duckdb, load_sql

_SAMPLE = 4096
_FIRST_SECOND = -62135596800
_LAST_SECOND = 253402300799


@dataclass(frozen=True)
class Coded:
    """A column as `values`, and `codes` (int32), which of them each row has. Without codes, each row has its own."""

    values: pa.Array
    codes: pa.Array | None = None

    def of_rows(self, of_values: pa.Array) -> pa.Array:
        """What is given for each value, for each row."""
        return of_values if self.codes is None else taken(of_values, self.codes)

    def rows_with(self, of_values: pa.Array) -> npt.NDArray[np.bool_]:
        """For which rows something is given, not null."""
        has: npt.NDArray[np.bool_] = of_values.is_valid().to_numpy(zero_copy_only=False)
        return has if self.codes is None else has.take(self.codes.to_numpy())

    def at(self, places: pa.Array) -> "Coded":
        """The column of the rows at these places (int32)."""
        return Coded(self.values, places if self.codes is None else self.codes.take(places))

    def as_texts(self) -> pa.Array:
        """The value of each row; texts as a dictionary of different ones without null, where the column has codes."""
        if self.codes is None or not _is_text(self.values.type):
            return self.of_rows(self.values)
        known = self.values.dictionary_encode()
        return pa.DictionaryArray.from_arrays(taken(known.indices, self.codes), known.dictionary, safe=False)

    def numpy_codes(self) -> npt.NDArray[np.int32] | None:
        """The codes as NumPy has them."""
        return None if self.codes is None else self.codes.to_numpy()


def taken(values: pa.Array, codes: pa.Array) -> pa.Array:
    """The values at these places (int32). Arrow's own `take` needs four times as long for what is of fixed width."""
    # Numba is of no use to who only knows of the door.
    from recruitment_platform.arrays import gathered

    kind = values.type
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(taken(values.indices, codes), values.dictionary, safe=False)
    if not len(values) or not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind)) or kind.bit_width < 8:
        return pc.take(values, codes, boundscheck=False)
    places = codes.to_numpy()
    width = kind.bit_width // 8
    words = np.dtype(f"i{width}" if width <= 8 else f"V{width}")
    numbers = np.frombuffer(values.buffers()[1], words, len(values), values.offset * width)
    validity = None
    if values.null_count:
        bits = np.unpackbits(np.frombuffer(values.buffers()[0], np.uint8), bitorder="little")[values.offset :]
        validity = pa.py_buffer(np.packbits(gathered(bits, places), bitorder="little"))
    found = gathered(numbers, places) if width <= 8 else numbers.take(places)
    return pa.Array.from_buffers(kind, len(places), [validity, pa.py_buffer(found)])


def coded_texts(column: pa.ChunkedArray) -> Coded:
    """The column's values as the texts that DuckDB gives them, `large_string` or null.

    What comes as a dictionary is taken by it; other text and integers are made one where values come again.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return coded_texts(_storage(column))
    if pa.types.is_dictionary(kind):
        if column.num_chunks > 1 and any(chunk.dictionary.null_count for chunk in column.chunks):
            # Arrow cannot make one dictionary of those.
            return coded_texts(pa.chunked_array([chunk.dictionary.take(chunk.indices) for chunk in column.chunks]))
        return _by_dictionary(_whole(column.unify_dictionaries()))
    if _can_repeat(kind):
        whole = _whole(column)
        sample = whole.slice(0, _SAMPLE)
        if 2 * pc.count_distinct(sample, mode="all").as_py() <= len(sample):
            return _by_dictionary(whole.dictionary_encode("encode"))
    return Coded(_texts(column))


def constant(value: str | None, rows: int) -> Coded:
    """A column that has this value in every row."""
    return Coded(pa.array([value], pa.large_string()), pa.array(np.zeros(rows, np.int32)))


def _by_dictionary(column: pa.DictionaryArray) -> Coded:
    values, codes = column.dictionary, column.indices
    if len(values) > len(codes):
        return Coded(_texts(pa.chunked_array([values.take(codes)])))
    texts = _texts(pa.chunked_array([values]))
    whole = codes.cast(pa.int32())
    if codes.null_count:
        # By hand: Arrow's `fill_null` takes three times as long.
        numbers = np.frombuffer(whole.buffers()[1], np.int32)[whole.offset : whole.offset + len(whole)]
        is_null = whole.is_null().to_numpy(zero_copy_only=False)
        whole = pa.array(np.where(is_null, np.int32(len(texts)), numbers))
        texts = pa.concat_arrays([texts, pa.nulls(1, texts.type)])
    return Coded(texts, whole)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece, which Arrow would copy also where it is one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _can_repeat(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind))


def _storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)


def _texts(column: pa.ChunkedArray) -> pa.Array:
    return _whole(_readable(column).cast(pa.large_string()))


def _readable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _readable(_storage(column))
    if pa.types.is_dictionary(kind):
        return _readable(column.cast(kind.value_type))
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16:
        return _mapped(column, lambda value: str(UUID(bytes=value)))
    if _is_binary(kind):
        return _mapped(column, lambda value: value.decode("utf-8", errors="replace"))
    if _is_text(kind):
        return _sound(column)
    if pa.types.is_nested(kind):
        return _mapped(column, lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str))
    if pa.types.is_timestamp(kind):
        return _in_duckdb(_clock(column))
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return _in_duckdb(column)
    return column.cast(pa.string())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _sound(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column, bytes that are not UTF-8 replaced: Arrow does not look when it reads a file."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return _mapped(column.cast(pa.binary()), lambda value: value.decode("utf-8", errors="replace"))
    return column


def _clock(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without its time zone: UTC. Years that no text of the door's can say become unreadable text."""
    unit = column.type.unit
    naive = column.cast(pa.timestamp(unit))
    if unit == "ns":
        return naive
    per_second = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    ticks = naive.cast(pa.int64())
    sayable = pc.and_(
        pc.greater_equal(ticks, _FIRST_SECOND * per_second), pc.less(ticks, (_LAST_SECOND + 1) * per_second)
    )
    if pc.all(sayable).as_py() is not False:
        return naive.cast(pa.timestamp("us"))
    return pc.if_else(
        sayable, pc.if_else(sayable, naive, None).cast(pa.timestamp("us")).cast(pa.string()), "out of range"
    )


def _in_duckdb(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values as DuckDB writes them: 188.0 where Arrow would write 188."""
    with connect_duckdb() as connection:
        connection.register("numbers", pa.table({"value": column}))
        return connection.sql(load_sql("model", "door_numbers")).to_arrow_table().column("value")


def _mapped(column: pa.ChunkedArray, text: Callable[[Any], str]) -> pa.ChunkedArray:
    values = (None if value is None else text(value) for value in column.to_pylist(maps_as_pydicts="lossy"))
    return pa.chunked_array([pa.array(values, pa.large_string())])
