"""Between NumPy and Arrow, and Arrow text made fast: from pools, from a few distinct values, from bytes of fixed width.

What belongs here: arrays as such. What does not: what the texts mean (`events`, `encoding`).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.simulation.market import NONE, Ints

FORMS = 16
"""More than any value has."""

HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def as_ints(values: pa.Array | pa.ChunkedArray) -> Ints:
    """The integers, with `NONE` for null."""
    ints: Ints = values.fill_null(int(NONE)).to_numpy()
    return ints


def picked(pool: Sequence[str | None], index: npt.NDArray[np.integer]) -> pa.DictionaryArray:
    """The pool's text at each index, as a dictionary without null."""
    texts = [text for text in dict.fromkeys(pool) if text is not None]
    codes = np.array([-1 if text is None else texts.index(text) for text in pool], np.int32)[index]
    indices = pa.array(codes, mask=codes < 0) if None in pool else pa.array(codes)
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.string()))


def spelled(
    values: Ints,
    forms: npt.NDArray[np.integer],
    spell: Callable[[int, int], str],
    instead: Sequence[str | None],
    which: npt.NDArray[np.integer],
) -> pa.DictionaryArray:
    """`spell(value, form)` for each row, called once for every distinct pair; `instead[which]` where it is `NONE`.

    A dictionary, of which a value may be null.
    """
    keys = pa.array(np.where(values == NONE, which + NONE, values * FORMS + forms)).dictionary_encode()
    texts = [
        instead[key - int(NONE)] if key < NONE + len(instead) else spell(*divmod(key, FORMS))
        for key in keys.dictionary.to_pylist()
    ]
    return pa.DictionaryArray.from_arrays(keys.indices, pa.array(texts, pa.string()))


def assembled(count: int, parts: Sequence[tuple[Ints, pa.Array]]) -> pa.Array:
    """One text array of `count` rows out of parts, each given with its rows' positions; the other rows are null."""
    source = np.full(count, NONE)
    start = 0
    for rows, _ in parts:
        source[rows] = np.arange(start, start + len(rows))
        start += len(rows)
    values = pa.concat_arrays([pa.array([], pa.string()), *(part for _, part in parts)])
    return values.take(pa.array(source, mask=source == NONE))


def replaced(texts: pa.Array, here: npt.NDArray[np.bool_], others: pa.Array) -> pa.Array:
    """The texts, plain or a dictionary, with the others, one after the other, where `here` is."""
    if not len(others):
        return texts
    if not pa.types.is_dictionary(texts.type):
        return pc.replace_with_mask(texts, pa.array(here), others)
    others = others.dictionary_encode()
    codes = texts.indices.fill_null(-1).to_numpy().copy()
    codes[here] = len(texts.dictionary) + others.indices.to_numpy()
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.concat_arrays([texts.dictionary, others.dictionary]))


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
