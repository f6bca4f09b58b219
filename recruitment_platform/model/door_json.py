"""Members of plain JSON objects, by numba: most custom events are such, and need no parser for all that JSON may be.

What belongs here: telling a plain object from all else, of which nothing is said here (`door_eds.sql` asks DuckDB), and
finding its members. What does not: what the members mean (`door_kernels`, `door_values`).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from recruitment_platform.compiled import compiled
from recruitment_platform.model.door_kernels import Bytes, Numbers

_MOST_DIGITS = 18
_NULL = np.frombuffer(b"null", np.uint8)


@compiled
def _string_end(data: Bytes, at: Any, end: Any) -> Any:
    """Where the string that begins here ends; -1 where it does not, or is not of plain ASCII without escapes."""
    while at < end:
        byte = data[at]
        if byte == 34:
            return at
        if byte < 32 or byte > 126 or byte == 92:
            return -1
        at += 1
    return -1


@compiled
def _word_end(data: Bytes, at: Any, end: Any) -> Any:
    """Where the integer of few digits, or `null`, ends that begins here; -1 where there is none."""
    start = at
    if data[at] == 110:
        for place in range(len(_NULL)):
            if at >= end or data[at] != _NULL[place]:
                return -1
            at += 1
        return at
    if data[at] == 45:
        at += 1
    first = at
    while at < end and 48 <= data[at] <= 57:
        at += 1
    digits = at - first
    # What is written with a zero before it is no JSON, and -0 is 0.
    is_plain = 0 < digits <= _MOST_DIGITS and (data[first] != 48 or (digits == 1 and first == start))
    return at if is_plain else -1


@compiled
def plain_members(
    data: Bytes, offsets: Numbers, keys: Bytes, key_ends: Numbers
) -> tuple[npt.NDArray[np.bool_], Numbers, Numbers]:
    """(whether each text is a plain object, where the value of each of the keys begins, and ends).

    Plain is an object without white space between its members, each of them with a string, an integer or null; no key
    that is asked for comes twice. A string is without quotes then; of null, and where there is no member, there is
    nothing. An empty text is a plain object without members.
    """
    count = len(offsets) - 1
    is_plain = np.zeros(count, np.bool_)
    starts = np.zeros((len(key_ends) - 1, count), np.int64)
    ends = np.zeros((len(key_ends) - 1, count), np.int64)
    is_met = np.empty(len(key_ends) - 1, np.bool_)
    for row in range(count):
        at, end = offsets[row], offsets[row + 1] - 1
        if end < at:
            is_plain[row] = True
            continue
        if end == at or data[at] != 123 or data[end] != 125:
            continue
        is_met[:] = False
        at += 1
        is_good = True
        while is_good and at < end:
            key = at + 1
            key_end = _string_end(data, key, end) if data[at] == 34 else -1
            at = key_end + 2
            is_good = key_end >= 0 and at < end and data[key_end + 1] == 58
            if not is_good:
                break
            start, stop = at, at
            if data[at] == 34:
                start = at + 1
                stop = _string_end(data, start, end)
                at = stop + 1
            else:
                stop = at = _word_end(data, at, end)
                if data[start] == 110:
                    start = stop
            is_good = stop >= 0
            for number in range(len(key_ends) - 1):
                length = key_ends[number + 1] - key_ends[number]
                is_it = length == key_end - key
                for place in range(length if is_it else 0):
                    is_it = is_it and data[key + place] == keys[key_ends[number] + place]
                if is_it:
                    is_good = is_good and not is_met[number]
                    is_met[number] = True
                    starts[number, row], ends[number, row] = start, stop
            if at < end:
                # Behind a comma there has to be another member.
                is_good = is_good and data[at] == 44 and at + 1 < end
                at += 1
        is_plain[row] = is_good
        if not is_good:
            starts[:, row] = ends[:, row] = 0
    return is_plain, starts, ends


@compiled
def pieces(data: Bytes, starts: Numbers, ends: Numbers) -> tuple[Bytes, Numbers]:
    """These pieces of the bytes one after the other, and where each begins and the last one ends."""
    offsets = np.zeros(len(starts) + 1, np.int64)
    for row in range(len(starts)):
        offsets[row + 1] = offsets[row] + ends[row] - starts[row]
    out = np.empty(offsets[-1], np.uint8)
    for row in range(len(starts)):
        for place in range(ends[row] - starts[row]):
            out[offsets[row] + place] = data[starts[row] + place]
    return out, offsets
