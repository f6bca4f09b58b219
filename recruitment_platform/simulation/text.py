"""Between NumPy and Arrow, and Arrow text made fast: from pools, from a few distinct values, from bytes of fixed width.

What belongs here: arrays as such. What does not: what the texts mean (`events`, `encoding`).
"""

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.simulation.market import NONE, Ints

FORMS = 16
"""More than any value has."""


def as_ints(values: pa.Array | pa.ChunkedArray) -> Ints:
    """The integers, with `NONE` for null."""
    ints: Ints = values.fill_null(int(NONE)).to_numpy()
    return ints


def with_nulls(values: npt.NDArray[np.integer], is_valid: npt.NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """The values, which are not copied, null where they are not valid; `kind` has to be NumPy's type of them."""
    bitmap = None if is_valid.all() else pa.py_buffer(np.packbits(is_valid, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [bitmap, pa.py_buffer(values)])


def picked(pool: Sequence[str | None], index: npt.NDArray[np.integer]) -> pa.DictionaryArray:
    """The pool's text at each index, as a dictionary without null."""
    code_of, texts = pooled(tuple(pool))
    codes = code_of[index]
    indices = pa.array(codes, mask=codes < 0) if None in pool else pa.array(codes)
    return pa.DictionaryArray.from_arrays(indices, texts)


@cache
def pooled(pool: tuple[str | None, ...]) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """(which of the different texts each of the pool is, or -1 for none, the different texts)."""
    texts = {text: code for code, text in enumerate(text for text in dict.fromkeys(pool) if text is not None)}
    return np.array([-1 if text is None else texts[text] for text in pool], np.int32), pa.array(texts, pa.string())


def spelled(
    values: Ints,
    forms: npt.NDArray[np.integer],
    spell: Callable[[int, int], str],
    instead: Sequence[str | None],
    which: npt.NDArray[np.integer],
) -> pa.DictionaryArray:
    """`spell(value, form)` for each row, called for distinct pairs only; `instead[which]` where the value is `NONE`.

    What `spell` said is remembered: it has to be the same function each time. A dictionary, of which a value may be
    null.
    """
    from recruitment_platform.simulation.kernels import coded

    codes, keys = coded(np.where(values == NONE, which + NONE, values * FORMS + forms))
    texts = [instead[key - int(NONE)] if key < NONE + len(instead) else _spelled(spell, key) for key in keys.tolist()]
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts, pa.string()))


@lru_cache(maxsize=200_000)
def _spelled(spell: Callable[[int, int], str], key: int) -> str:
    return spell(*divmod(key, FORMS))


def replaced(texts: pa.Array, rows: Ints, others: pa.Array) -> pa.Array:
    """The texts, plain or a dictionary that has null as a value if any, with the others in these rows, which ascend."""
    if not len(others):
        return texts
    if not pa.types.is_dictionary(texts.type):
        here = np.zeros(len(texts), bool)
        here[rows] = True
        return pc.replace_with_mask(texts, pa.array(here), others)
    others = others.dictionary_encode()
    codes = texts.indices.to_numpy().copy()
    codes[rows] = len(texts.dictionary) + others.indices.to_numpy()
    return pa.DictionaryArray.from_arrays(codes, pa.concat_arrays([texts.dictionary, others.dictionary]))


def joined(*parts: pa.Array | str) -> pa.Array:
    """The parts one after the other, row by row; null where any is null."""
    return pc.binary_join_element_wise(*parts, "")


def placed(count: int, rows: Ints, texts: pa.Array) -> pa.Array:
    """A text array of `count` rows, with the texts (without null) in these, which ascend; the others are null."""
    lengths = np.zeros(count + 1, np.int32)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    lengths[rows + 1] = np.diff(offsets)
    lengths[0] = offsets[0]
    is_valid = np.zeros(count, bool)
    is_valid[rows] = True
    buffers = (np.packbits(is_valid, bitorder="little"), np.cumsum(lengths, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), count, [*map(pa.py_buffer, buffers), texts.buffers()[2]])


def from_bytes(is_valid: npt.NDArray[np.bool_], octets: npt.NDArray[np.uint8], ends: npt.NDArray[np.int32]) -> pa.Array:
    """The texts of these bytes: `ends` is where each begins, and where the last one ends."""
    buffers = (np.packbits(is_valid, bitorder="little"), ends, octets)
    return pa.Array.from_buffers(pa.string(), len(is_valid), [*map(pa.py_buffer, buffers)])


def with_hex_digits(template: str, *words: npt.NDArray[np.uint64]) -> pa.Array:
    """The template in each row, its pairs of zeros replaced by the hex digits of the words, each from the highest."""
    from recruitment_platform.simulation.kernels import hex_texts

    places = np.array([found.start() for found in re.finditer("00", template)])
    octets = hex_texts(np.stack(words, axis=1), np.frombuffer(template.encode(), np.uint8), places)
    rows = len(words[0])
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(len(template))
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(octets)])
