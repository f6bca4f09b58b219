"""`payload_hash`: the 64 bits by which contents of one id are told apart, made of hashes of the columns' values.

What belongs here: what the hash is, to the last bit, and its kernels. What does not: what a column's value is (`door`).

The definition, for whoever recomputes it. All is XXH64 as its specification has it, with seed 0: its five primes, its
`round` and its `avalanche` (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), in unsigned 64-bit
arithmetic that wraps around.

1. A value's hash is XXH64 of its bytes. Text: its UTF-8, whole, as it was before it was cut to the column's length.
   `create_time`: its 36 characters in lower case. Integers: 8 bytes, two's complement, little endian; `bid` is one in
   millionths, `ts` one in microseconds since 1970 UTC. Null, which an empty text is too: 0 in place of a hash.
2. A row's hash begins with `PRIME_5 + 232`, as XXH64 does for 232 bytes, and takes in the 29 columns' hashes in the
   contract's order, each by the step that XXH64 has for 8 bytes beyond its last whole stripe:
   `hash = rotate_left(hash ^ round(0, value's hash), 27) * PRIME_1 + PRIME_4`; then `avalanche`. As the lake keeps it,
   it is the signed integer of the same 64 bits.

Each step of 2 can be undone where the other of the two is known, so rows that differ in one column have the same hash
only where its values have. Two integers never have, and the one whose hash is 0 (4130657994142680435) is in no column.
It is no cryptographic hash: it keeps contents apart that differ by chance, not those that someone made to collide.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from recruitment_platform.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

PRIME_1 = np.uint64(0x9E3779B185EBCA87)
PRIME_2 = np.uint64(0xC2B2AE3D27D4EB4F)
PRIME_3 = np.uint64(0x165667B19E3779F9)
PRIME_4 = np.uint64(0x85EBCA77C2B2AE63)
PRIME_5 = np.uint64(0x27D4EB2F165667C5)
NULL = np.uint64(0)
_COLUMNS_BYTES = 8 * 29


@compiled
def _turned(number: Any, bits: int) -> Any:
    return (number << np.uint64(bits)) | (number >> np.uint64(64 - bits))


@compiled
def _round(lane: Any, word: Any) -> Any:
    return _turned(lane + word * PRIME_2, 31) * PRIME_1


@compiled
def _with_round(hash_: Any, round_: Any) -> Any:
    return _turned(hash_ ^ round_, 27) * PRIME_1 + PRIME_4


@compiled
def _with_word(hash_: Any, word: Any) -> Any:
    return _with_round(hash_, _round(np.uint64(0), word))


@compiled
def _avalanche(hash_: Any) -> Any:
    hash_ = (hash_ ^ (hash_ >> np.uint64(33))) * PRIME_2
    hash_ = (hash_ ^ (hash_ >> np.uint64(29))) * PRIME_3
    return hash_ ^ (hash_ >> np.uint64(32))


@compiled
def _word(data: Bytes, at: Any, width: int) -> Any:
    word = np.uint64(0)
    for place in range(width):
        word |= np.uint64(data[at + np.uint64(place)]) << np.uint64(8 * place)
    return word


@compiled
def _hash_texts(data: Bytes, offsets: Numbers, out: Hashes) -> None:
    for row in range(len(out)):
        at = np.uint64(offsets[row])
        end = np.uint64(offsets[row + 1])
        length = end - at
        if length == np.uint64(0):
            out[row] = NULL
            continue
        if length >= np.uint64(32):
            one, two, three, four = PRIME_1 + PRIME_2, PRIME_2, np.uint64(0), np.uint64(0) - PRIME_1
            while at + np.uint64(32) <= end:
                one = _round(one, _word(data, at, 8))
                two = _round(two, _word(data, at + np.uint64(8), 8))
                three = _round(three, _word(data, at + np.uint64(16), 8))
                four = _round(four, _word(data, at + np.uint64(24), 8))
                at += np.uint64(32)
            hash_ = _turned(one, 1) + _turned(two, 7) + _turned(three, 12) + _turned(four, 18)
            for lane in (one, two, three, four):
                hash_ = (hash_ ^ _round(np.uint64(0), lane)) * PRIME_1 + PRIME_4
        else:
            hash_ = PRIME_5
        hash_ += length
        while at + np.uint64(8) <= end:
            hash_ = _with_word(hash_, _word(data, at, 8))
            at += np.uint64(8)
        if at + np.uint64(4) <= end:
            hash_ = _turned(hash_ ^ (_word(data, at, 4) * PRIME_1), 23) * PRIME_2 + PRIME_3
            at += np.uint64(4)
        while at < end:
            hash_ = _turned(hash_ ^ (np.uint64(data[at]) * PRIME_5), 11) * PRIME_1
            at += np.uint64(1)
        out[row] = _avalanche(hash_)


@compiled
def _hash_numbers(numbers: Numbers, out: Hashes) -> None:
    for row in range(len(out)):
        out[row] = _avalanche(_with_word(PRIME_5 + np.uint64(8), np.uint64(numbers[row])))


@compiled
def _take_in(hashes: Hashes, codes: npt.NDArray[np.int32], out: Hashes) -> None:
    # What does not depend on the row is worked out once for each value.
    rounds = np.empty_like(hashes)
    for value in range(len(hashes)):
        rounds[value] = _round(np.uint64(0), hashes[value])
    for row in range(len(out)):
        out[row] = _with_round(out[row], rounds[codes[row]])


@compiled
def _take_in_own(hashes: Hashes, out: Hashes) -> None:
    for row in range(len(out)):
        out[row] = _with_word(out[row], hashes[row])


@compiled
def _finish(out: Hashes) -> None:
    for row in range(len(out)):
        out[row] = _avalanche(out[row])


def read_only(values: Any) -> Any:
    """The array as one that is only read: numba compiles a kernel anew for those that may be written."""
    view = values.view()
    view.flags.writeable = False
    return view


def text_hashes(data: Bytes, offsets: Numbers) -> Hashes:
    """The hash of each text, from `data[offsets[i]]` to `data[offsets[i + 1]]`; an empty one is null."""
    out = np.empty(len(offsets) - 1, np.uint64)
    _hash_texts(read_only(data), read_only(offsets), out)
    return out


def number_hashes(numbers: Numbers, null: npt.NDArray[np.bool_]) -> Hashes:
    """The hash of each number."""
    out = np.empty(len(numbers), np.uint64)
    _hash_numbers(numbers, out)
    out[null] = NULL
    return out


def row_hashes(columns: Iterable[tuple[Hashes, npt.NDArray[np.int32] | None]], rows: int) -> Numbers:
    """The rows' hashes of the 29 columns in order: each column's values' hashes, and which of them each row has.

    Without the latter, each row has its own.
    """
    out = np.full(rows, PRIME_5 + np.uint64(_COLUMNS_BYTES), np.uint64)
    for hashes, codes in columns:
        if codes is None:
            _take_in_own(hashes, out)
        else:
            _take_in(hashes, read_only(codes), out)
    _finish(out)
    return out.view(np.int64)
