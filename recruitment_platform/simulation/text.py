"""Between NumPy and Arrow, and Arrow text made fast: from pools, from a few distinct values, from bytes of fixed width.

What belongs here: arrays as such. What does not: what the texts mean (`events`, `encoding`).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.simulation.market import NONE, Ints

HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def as_ints(values: pa.Array | pa.ChunkedArray) -> Ints:
    """The integers, with `NONE` for null."""
    ints: Ints = values.fill_null(int(NONE)).to_numpy()
    return ints


def picked(pool: Sequence[str | None], index: npt.NDArray[np.integer]) -> pa.Array:
    """The pool's text at each index."""
    return pa.array(pool, pa.string()).take(pa.array(index))


def spelled(values: Ints, forms: npt.NDArray[np.integer], spell: Callable[[int, int], str | None]) -> pa.Array:
    """`spell(value, form)` for each row, called once for every distinct pair; null where the value is `NONE`."""
    null = values == NONE
    pairs = pa.array(np.where(null, 0, values) * 16 + forms, mask=null).dictionary_encode()
    texts = pa.array([spell(pair >> 4, pair & 15) for pair in pairs.dictionary.to_pylist()], pa.string())
    return texts.take(pairs.indices)


def assembled(count: int, parts: Sequence[tuple[Ints, pa.Array]]) -> pa.Array:
    """One text array of `count` rows out of parts, each given with its rows' positions; the other rows are null."""
    source = np.full(count, NONE)
    start = 0
    for rows, _ in parts:
        source[rows] = np.arange(start, start + len(rows))
        start += len(rows)
    values = pa.concat_arrays([pa.array([], pa.string()), *(part for _, part in parts)])
    return values.take(pa.array(source, mask=source == NONE))


def joined(*parts: pa.Array | str) -> pa.Array:
    """The parts one after the other, row by row; null where any is null."""
    return pc.binary_join_element_wise(*parts, "")


def hex_digits(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """16 hex digits of each value, as a matrix of ASCII bytes."""
    octets = values.astype(">u8").view(np.uint8).reshape(-1, 8)
    digits = np.empty((len(values), 16), dtype=np.uint8)
    digits[:, 0::2] = HEX[octets >> 4]
    digits[:, 1::2] = HEX[octets & 15]
    return digits


def of_fixed_width(*columns: npt.NDArray[np.uint8] | bytes) -> pa.Array:
    """Text of as many characters in every row, out of matrices of ASCII bytes and constants."""
    rows = next(len(column) for column in columns if not isinstance(column, bytes))
    matrix = np.hstack(
        [
            np.broadcast_to(np.frombuffer(column, np.uint8), (rows, len(column)))
            if isinstance(column, bytes)
            else column
            for column in columns
        ],
    )
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(matrix.shape[1])
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(matrix.tobytes())])
