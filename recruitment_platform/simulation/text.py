"""Between NumPy and Arrow, and Arrow text made fast: from pools, from a few distinct values, from bytes of fixed width.

What belongs here: arrays as such. What does not: what the texts mean (`events`, `encoding`).
"""

import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.simulation.market import NONE, Ints

FORMS = 16
"""More than any value has."""

MOST_SPELLED = 100_000
"""Texts that are remembered of each way to spell."""


def as_ints(values: pa.Array | pa.ChunkedArray) -> Ints:
    """The integers, with `NONE` for null."""
    from recruitment_platform.simulation.kernels import filled

    values = whole(values) if isinstance(values, pa.ChunkedArray) else values
    ints: Ints = numbers_of(values).astype(np.int64, copy=False)
    if values.null_count:
        ints = filled(ints, validity(values), int(NONE))
    return ints


def whole(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece; Arrow would copy one that is in one piece already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def validity(values: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of the values are not null."""
    bits, until = values.buffers()[0], values.offset + len(values)
    if bits is None:
        return np.ones(len(values), bool)
    octets = np.unpackbits(np.frombuffer(bits, np.uint8), count=until, bitorder="little")
    return octets[values.offset :].view(bool)


def numbers_of(values: pa.Array) -> npt.NDArray[np.integer]:
    """The integers, or the codes of a dictionary; where one is null, any number."""
    if pa.types.is_dictionary(values.type):
        values = values.indices
    whole = pa.Array.from_buffers(values.type, len(values), [None, values.buffers()[1]], offset=values.offset)
    numbers: npt.NDArray[np.integer] = whole.to_numpy()
    return numbers


def with_nulls(numbers: npt.NDArray[np.integer], is_valid: npt.NDArray[np.bool_]) -> pa.Array:
    """The numbers as they are, not copied, and null where they are not valid."""
    bits = None if is_valid.all() else pa.py_buffer(np.packbits(is_valid, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(numbers), [bits, pa.py_buffer(numbers)])


def of_dictionary(codes: pa.Array | npt.NDArray[np.int32], texts: pa.Array) -> pa.DictionaryArray:
    """The text of each code, which is not checked to be one."""
    return pa.DictionaryArray.from_arrays(codes, texts, safe=False)


def reordered(rows: pa.Table, order: Ints) -> pa.Table:
    """The rows in this order."""
    from recruitment_platform.arrays import gathered

    places = order.astype(np.int32)
    taken = pa.array(places)

    def column(values: pa.Array) -> pa.Array:
        if values.type == pa.string():
            return pc.take(values, taken, boundscheck=False)
        is_valid = gathered(validity(values), places) if values.null_count else np.ones(1, bool)
        numbers = with_nulls(gathered(numbers_of(values), places), is_valid)
        return of_dictionary(numbers, values.dictionary) if pa.types.is_dictionary(values.type) else numbers

    return pa.table([column(whole(values)) for values in rows.columns], schema=rows.schema)


def picked(pool: Sequence[str | None], index: npt.NDArray[np.integer]) -> pa.DictionaryArray:
    """The pool's text at each index, as a dictionary without null."""
    code_of, texts = pooled(tuple(pool))
    codes = code_of[index]
    return of_dictionary(with_nulls(codes, codes >= 0), texts)


@cache
def pooled(pool: tuple[str | None, ...]) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """(which of the different texts each of the pool is, or -1 for none, the different texts)."""
    texts = {text: code for code, text in enumerate(text for text in dict.fromkeys(pool) if text is not None)}
    return np.array([-1 if text is None else texts[text] for text in pool], np.int32), pa.array(texts, pa.string())


Spell = Callable[[int, int], str]

_spelled: dict[tuple[Spell, tuple[str | None, ...]], tuple[Ints, pa.Array]] = {}
"""The keys that were met, which ascend, and their texts, by how they are spelled, and what is there for none."""

_NOTHING_SPELLED = np.array([np.iinfo(np.int64).max]), pa.array([""])
"""Behind all other keys."""


def spelled(
    values: Ints,
    forms: npt.NDArray[np.integer],
    spell: Spell,
    instead: Sequence[str | None],
    which: npt.NDArray[np.integer],
) -> pa.DictionaryArray:
    """`spell(value, form)` for each row, called for distinct pairs only; `instead[which]` where the value is `NONE`.

    What `spell` said is remembered: it has to be the same function each time. A dictionary, of which a value may be
    null.
    """
    from recruitment_platform.simulation.kernels import coded

    forms, which = (numbers.astype(np.int64, copy=False) for numbers in (forms, which))
    codes, keys = coded(values, forms, which, int(NONE), FORMS)
    # Another thread may put other texts there meanwhile: these are this call's own.
    known, texts = _spelled.get((spell, tuple(instead)), _NOTHING_SPELLED)
    new = keys[known[np.searchsorted(known, keys)] != keys]
    if len(new):
        if len(known) > MOST_SPELLED:
            new, (known, texts) = keys, _NOTHING_SPELLED
        said = [
            instead[key - int(NONE)] if key < NONE + len(instead) else spell(*divmod(key, FORMS))
            for key in new.tolist()
        ]
        known, texts = np.concatenate([new, known]), pa.concat_arrays([pa.array(said, pa.string()), texts])
        order = np.argsort(known)
        known, texts = known[order], texts.take(pa.array(order))
        _spelled[spell, tuple(instead)] = known, texts
    return of_dictionary(codes, texts.take(pa.array(np.searchsorted(known, keys))))


def replaced(texts: pa.Array, rows: Ints, others: pa.Array) -> pa.Array:
    """The texts, plain or a dictionary that has null as a value if any, with the others in these rows, which ascend."""
    if not len(others):
        return texts
    if not pa.types.is_dictionary(texts.type):
        order = np.arange(len(texts), dtype=np.int32)
        order[rows] = len(texts) + np.arange(len(rows))
        return pc.take(pa.concat_arrays([texts, others]), pa.array(order), boundscheck=False)
    others = others.dictionary_encode()
    codes = texts.indices.to_numpy().copy()
    codes[rows] = len(texts.dictionary) + others.indices.to_numpy()
    return of_dictionary(codes, pa.concat_arrays([texts.dictionary, others.dictionary]))


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
