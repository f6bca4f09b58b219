"""The loops over a block's rows that NumPy and Arrow have no single step for, by numba.

What belongs here: bytes and codes of many rows at once. What does not: what they mean (`events`, `encoding`).
"""

import numpy as np
import numpy.typing as npt

from recruitment_platform.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]


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
def _put_pair(out: Bytes, to: int, value: int) -> None:
    """Writes a number of two digits."""
    pair = np.uint32(value)
    out[to] = 48 + pair // np.uint32(10)
    out[to + 1] = 48 + pair % np.uint32(10)


@compiled
def _put_date(out: Bytes, day: int) -> None:
    """Writes year, month and day of this day since 1970 around the dashes that are there."""
    # Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    day += 719_468
    era = day // 146_097
    day -= era * 146_097
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (1 if month <= 2 else 0)
    _put_pair(out, 0, year // 100)
    _put_pair(out, 2, year % 100)
    _put_pair(out, 5, month)
    _put_pair(out, 8, day + 1)


@compiled
def time_texts(
    times: Numbers, forms: Numbers, shifts: Numbers, separators: Bytes, tails: Bytes, tail_ends: Codes
) -> tuple[Bytes, Codes]:
    """Times (microseconds since 1970) as texts: their bytes, and where each begins and the last one ends.

    Forms below the number of `shifts` (in seconds) are the date, the form's separator, the shifted time of day, as
    precise as it is, and the form's tail. The next two are the seconds, with milliseconds, and the milliseconds, or
    either of them the microseconds where others would lose some. All others are their tail.
    """
    clocks = len(shifts)
    longest = 0
    for form in range(len(tail_ends) - 1):
        longest = max(longest, tail_ends[form + 1] - tail_ends[form])
    out = np.empty(len(times) * (26 + longest), np.uint8)
    offsets = np.empty(len(times) + 1, np.int32)
    offsets[0] = 0
    at = 0
    # Times one after the other are mostly of the same day.
    date = np.empty(10, np.uint8)
    date[4] = date[7] = 45
    midnight = np.int64(-86_400)
    _put_date(date, -1)
    for row in range(len(times)):
        form, whole = forms[row], times[row] // 1_000_000
        micros = np.uint32(times[row] - whole * 1_000_000)
        is_milli = micros % np.uint32(1_000) == 0
        if form < clocks:
            seconds = whole + shifts[form]
            if not 0 <= seconds - midnight < 86_400:
                _put_date(date, seconds // 86_400)
                midnight = seconds // 86_400 * 86_400
            for place in range(10):
                out[at + place] = date[place]
            second = np.uint32(seconds - midnight)
            out[at + 10] = separators[form]
            _put_pair(out, at + 11, second // np.uint32(3_600))
            out[at + 13] = out[at + 16] = 58
            _put_pair(out, at + 14, second // np.uint32(60) % np.uint32(60))
            _put_pair(out, at + 17, second % np.uint32(60))
            at += 19
        elif form < clocks + 2:
            number = times[row]
            if is_milli:
                number //= 1_000_000 if form == clocks else 1_000
            left = number // 10
            while left:
                at, left = at + 1, left // 10
            at += 1
            end = at
            while number:
                end -= 1
                out[end] = 48 + number % 10
                number //= 10
        if micros and (form < clocks or (form == clocks and is_milli)):
            out[at] = 46
            _put_pair(out, at + 1, micros // np.uint32(10_000))
            _put_pair(out, at + 3, micros // np.uint32(100) % np.uint32(100))
            _put_pair(out, at + 5, micros % np.uint32(100))
            at += 4 if is_milli else 7
        for place in range(tail_ends[form], tail_ends[form + 1]):
            out[at] = tails[place]
            at += 1
        offsets[row + 1] = at
    return out[:at], offsets


@compiled
def coded(values: Numbers, forms: Numbers, instead: Numbers, none: int, most_forms: int) -> tuple[Codes, Numbers]:
    """(which of the different keys each row has, the different keys in the order in which they come).

    A key is the value and its form, of fewer than `most_forms`; of a value that is `none`, what is there instead.
    """
    rows = len(values)
    codes = np.empty(rows, np.int32)
    found = np.empty(rows, np.int64)
    count = 0
    size = 1024
    table = np.full(size, -1, np.int32)
    for row in range(rows):
        key = none + instead[row] if values[row] == none else values[row] * most_forms + forms[row]
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


@compiled
def filled(values: Numbers, is_valid: npt.NDArray[np.bool_], instead: int) -> Numbers:
    """The values, or what is there instead of those that are not valid: `numpy.where` without its branches."""
    out = np.empty(len(values), np.int64)
    for row in range(len(values)):
        out[row] = values[row] if is_valid[row] else instead
    return out
