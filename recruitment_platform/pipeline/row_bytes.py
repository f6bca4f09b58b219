"""What is done with every row of a day one by one, on the bytes of Arrow's columns: by numba, without a Python object.

What belongs here: the canonical text of rows, which digests are taken of; which rows repeat the one before. What does
not: which rows, in which order, and what is made of it (`digest`, `arrivals`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

_MOST_OF_NUMBER = 26
"""Bytes of the longest number: two of its length, a colon, 19 digits, sign and point; and some to spare."""
_MOST_OF_LENGTH = 11
_NULL = np.int32(-1)
_TEXT, _FIELD = -1, -2
"""In place of a number's scale: a text, and a text that has its length before it already."""
_PAIRS = np.frombuffer("".join(f"{pair:02}" for pair in range(100)).encode(), np.uint8)
_POWERS = np.array([10**power for power in range(20)], np.uint64)


@compiled
def _put_digits(out: Bytes, to: int, value: Any, count: int) -> None:
    """Writes the last `count` digits of an unsigned number, two at a time."""
    left = value
    at = to + count
    while at - to >= 2:
        rest = left // np.uint64(100)
        pair = np.int64(left - rest * np.uint64(100)) << 1
        out[at - 1] = _PAIRS[pair + 1]
        out[at - 2] = _PAIRS[pair]
        at -= 2
        left = rest
    if at > to:
        out[to] = np.uint8(48) + np.uint8(left % np.uint64(10))


@compiled
def _put_number(out: Bytes, to: int, value: int, scale: int) -> int:
    """Writes `<length>:<value>`, the last `scale` digits behind a point; returns where it ends."""
    size = np.uint64(value)
    if value < 0:
        size = np.uint64(0) - size
    count = 1
    while count < 19 and size >= _POWERS[count]:
        count += 1
    count = max(count, scale + 1)
    length = count + (value < 0) + (scale > 0)
    if length >= 10:
        out[to] = 48 + length // 10
        to += 1
    out[to] = 48 + length % 10
    out[to + 1] = 58
    to += 2
    if value < 0:
        out[to] = 45
        to += 1
    if scale == 0:
        _put_digits(out, to, size, count)
        return to + count
    whole = size // _POWERS[scale]
    _put_digits(out, to, whole, count - scale)
    to += count - scale
    out[to] = 46
    _put_digits(out, to + 1, size - whole * _POWERS[scale], scale)
    return to + 1 + scale


@compiled
def _put_lines(
    scales: Lengths,
    places: Lengths,
    numbers: Numbers,
    is_null: Bytes,
    pool: Bytes,
    starts: Numbers,
    lengths: Lengths,
    out: Bytes,
) -> int:
    """Writes the rows' lines; returns how many bytes. A field whose scale is negative is a text, else a number."""
    to = 0
    for row in range(numbers.shape[1]):
        for field in range(len(scales)):
            scale, place = scales[field], places[field]
            if scale >= 0:
                if is_null[place, row]:
                    out[to] = 45
                    to += 1
                else:
                    to = _put_number(out, to, numbers[place, row], scale)
            else:
                start, length = starts[place, row], lengths[place, row]
                if scale == _TEXT:
                    if length < 0:
                        out[to] = 45
                        to += 1
                    else:
                        count = 1
                        while np.uint64(length) >= _POWERS[count]:
                            count += 1
                        _put_digits(out, to, np.uint64(length), count)
                        out[to + count] = 58
                        to += count + 1
                for byte in range(length):
                    out[to + byte] = pool[start + byte]
                to += max(length, 0)
            out[to] = 44
            to += 1
        out[to - 1] = 10
    return to


@dataclass
class LineWriter:
    """Writes rows' lines into a buffer of its own, which the next ones overwrite.

    A line is the row's fields joined by commas and ended by a newline: `-` for null, else `<length in bytes>:<value>`.
    Values: integers in decimal, decimals (of at most 18 digits) at their scale, timestamps as microseconds since 1970
    UTC, dates as ISO 8601, text as it is, dictionaries as their values.
    """

    _out: Bytes

    def __init__(self) -> None:
        self._out = np.empty(0, np.uint8)

    def lines(self, columns: Sequence[pa.Array]) -> memoryview:
        """The rows' lines, of which `columns` are the fields in their order; valid until they are asked for again."""
        rows = len(columns[0])
        scales = np.array([_scale(column.type) for column in columns], np.int32)
        is_number = scales >= 0
        places = np.where(is_number, np.cumsum(is_number), np.cumsum(~is_number)).astype(np.int32) - np.int32(1)
        numbers = np.empty((is_number.sum(), rows), np.int64)
        is_null = np.zeros((len(numbers), rows), np.uint8)
        starts = np.empty((len(columns) - len(numbers), rows), np.int64)
        lengths = np.empty(starts.shape, np.int32)
        pool: list[Bytes] = []
        pooled = 0
        for column, place, scale in zip(columns, places.tolist(), scales.tolist(), strict=True):
            if scale >= 0:
                numbers[place] = _numbers(column)
                if column.null_count:
                    is_null[place] = column.is_null().to_numpy(zero_copy_only=False)
                continue
            text, starts[place], lengths[place] = _texts(column)
            starts[place] += pooled
            pooled += len(text)
            pool.append(text)
        most = _MOST_OF_NUMBER * len(numbers) + _MOST_OF_LENGTH * len(starts) + len(columns) + 1
        needed = rows * most + int(lengths.clip(0).sum())
        if len(self._out) < needed:
            self._out = np.empty(needed, np.uint8)
        texts = np.concatenate([np.empty(0, np.uint8), *pool])
        end = _put_lines(scales, places, numbers, is_null, texts, starts, lengths, self._out)
        return self._out[:end].data


def told_apart(ids: pa.StringArray, hashes: pa.Int64Array) -> tuple[Flags, Flags]:
    """Whether each row is another content than the one before it, and whether it is another id; the first is both."""
    is_content, is_new = np.ones(len(ids), np.bool_), np.ones(len(ids), np.bool_)
    _tell_apart(*_text_buffers(ids), hashes.to_numpy(), is_content, is_new)
    return is_content, is_new


@compiled
def _tell_apart(
    ids: Bytes, starts: Numbers, lengths: Lengths, hashes: Numbers, is_content: Flags, is_new: Flags
) -> None:
    for row in range(1, len(hashes)):
        is_same = lengths[row] == lengths[row - 1]
        if is_same:
            for byte in range(lengths[row]):
                if ids[starts[row] + byte] != ids[starts[row - 1] + byte]:
                    is_same = False
                    break
        is_new[row] = not is_same
        is_content[row] = not is_same or hashes[row] != hashes[row - 1]


def _scale(kind: pa.DataType) -> int:
    """The digits behind a number's point; negative for what is written as text."""
    if pa.types.is_decimal(kind):
        return int(kind.scale)
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        return 0
    return _FIELD if pa.types.is_dictionary(kind) or pa.types.is_date(kind) else _TEXT


def _numbers(column: pa.Array) -> npt.NDArray[np.integer]:
    """The values as integers of the last decimal place; what stands for null means nothing."""
    kind = column.type
    if pa.types.is_decimal(kind):
        # The lower half of 128 bits, where 18 digits fit.
        words = column.cast(pa.decimal128(18, kind.scale)).buffers()[1]
        return np.frombuffer(words, np.int64)[2 * column.offset :: 2][: len(column)]
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
    return np.frombuffer(column.buffers()[1], column.type.to_pandas_dtype())[column.offset :][: len(column)]


def _texts(column: pa.Array) -> tuple[Bytes, Numbers, Lengths]:
    """The bytes of a column's texts; where each row's begins, and how long it is: `_NULL` where it is null.

    What stands in a dictionary stands there as the field is written.
    """
    if pa.types.is_date(column.type):
        column = column.dictionary_encode()
    if not pa.types.is_dictionary(column.type):
        return _text_buffers(column)
    texts = column.dictionary.cast(pa.string())
    prefixes = pc.binary_length(texts).cast(pa.string())
    fields = pc.binary_join_element_wise(prefixes, texts, ":").fill_null("-")
    text, starts, lengths = _text_buffers(pa.concat_arrays([fields, pa.array(["-"])]))
    codes = column.indices.cast(pa.int64()).fill_null(len(fields)).to_numpy()
    return text, starts[codes], lengths[codes]


def _text_buffers(texts: pa.StringArray) -> tuple[Bytes, Numbers, Lengths]:
    """The bytes of all texts; where each begins, and how long it is, negative where it is null."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset :][: len(texts) + 1]
    first = ends[0] if len(ends) else 0
    starts, lengths = ends[:-1].astype(np.int64) - first, np.diff(ends)
    if texts.null_count:
        lengths = np.where(texts.is_valid().to_numpy(zero_copy_only=False), lengths, _NULL)
    text = np.frombuffer(data, np.uint8)[first : ends[-1]] if data is not None and len(ends) else np.empty(0, np.uint8)
    return text, starts, lengths
