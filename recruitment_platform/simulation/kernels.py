"""The loops over a block's rows that NumPy and Arrow have no single step for, by numba.

What belongs here: bytes and codes of many rows at once. What does not: what they mean (`events`, `encoding`).
"""

import numpy as np
import numpy.typing as npt

from recruitment_platform.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]

GUIDED = 1024
"""Parts of the unit interval, of each of which is known where to begin to look."""


@compiled
def choices(uniform: npt.NDArray[np.float64], until: npt.NDArray[np.float64], guide: Numbers) -> Numbers:
    """For each number how many of the ascending `until` are not above it; `guide` is how many surely are not."""
    made = np.empty(len(uniform), np.int64)
    for row in range(len(uniform)):
        number = uniform[row]
        choice = guide[int(number * GUIDED)]
        while until[choice] <= number:
            choice += 1
        made[row] = choice
    return made


@compiled
def hex_texts(words: npt.NDArray[np.uint64], template: Bytes, places: Numbers) -> Bytes:
    """The template for each row, with two hex digits of each byte of its words, from the highest, at these places."""
    width = len(template)
    out = np.empty(len(words) * width, np.uint8)
    digits = np.empty(16, np.uint8)
    for value in range(16):
        digits[value] = value + (48 if value < 10 else 87)
    for row in range(len(words)):
        start = row * width
        for place in range(width):
            out[start + place] = template[place]
        for number in range(len(places)):
            shift = np.uint64(56 - 8 * (number & 7))
            octet = (words[row, number >> 3] >> shift) & np.uint64(255)
            at = start + places[number]
            out[at] = digits[octet >> np.uint64(4)]
            out[at + 1] = digits[octet & np.uint64(15)]
    return out


@compiled
def coded(keys: Numbers) -> tuple[Codes, Numbers]:
    """(which of the different keys each row has, the different keys in the order in which they come)."""
    rows = len(keys)
    codes = np.empty(rows, np.int32)
    found = np.empty(rows, np.int64)
    count = 0
    size = 1024
    table = np.full(size, -1, np.int32)
    for row in range(rows):
        key = keys[row]
        slot = (key * 0x9E3779B97F4A7C1) >> 20 & (size - 1)
        while table[slot] >= 0 and found[table[slot]] != key:
            slot = (slot + 1) & (size - 1)
        if table[slot] < 0:
            table[slot] = count
            found[count] = key
            count += 1
            codes[row] = count - 1
            if 2 * count > size:
                size *= 4
                table = np.full(size, -1, np.int32)
                for number in range(count):
                    slot = (found[number] * 0x9E3779B97F4A7C1) >> 20 & (size - 1)
                    while table[slot] >= 0:
                        slot = (slot + 1) & (size - 1)
                    table[slot] = number
        else:
            codes[row] = table[slot]
    return codes, found[:count]
