"""What the texts of columns that are not text mean, by numba: integers, money, times, and the ids of events.

What belongs here: from the bytes of a text to a number, and why there is none. What does not: columns and what is said
of them (`door_values`), JSON (`door_eds.sql`).

Each kernel is given the texts as Arrow has them, the i-th from `data[offsets[i]]` to `data[offsets[i + 1]]`, none of it
where there is none, and says of each in `states` whether it was READ, is MISSING, or why it could not be read. White
space at its ends is left away, ASCII's alone.
"""

from string import hexdigits
from typing import Any

import numpy as np
import numpy.typing as npt

from recruitment_platform.compiled import compiled_in_place

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

READ, MISSING, UNREADABLE, NEGATIVE, TOO_FINE, TOO_LARGE, IN_FUTURE = range(7)
UUID_TEXT = 36

_MONEY_DECIMALS = 6
_MONEY_DIGITS = 12
_MANTISSA_DECIMALS = 17
_EXPONENT_DIGITS = 2
_FRACTION_DIGITS = 6
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_SECONDS_UNTIL = 99_999_999_999
_MILLISECONDS_UNTIL = 99_999_999_999_999
_BEYOND_ALL = 9 * 10**17
_YEAR_1 = -62_135_596_800 * _SECOND
_YEAR_10000 = 253_402_300_800 * _SECOND
_GREGORIAN = 12_219_292_800 * _SECOND
_NO_HEX = 16
_HEX = np.array([int(chr(byte), 16) if chr(byte) in hexdigits else _NO_HEX for byte in range(256)], np.uint8)
"""The value of each byte that is a hexadecimal digit."""


@compiled_in_place
def _is_white(byte: Any) -> Any:
    return byte == 32 or 9 <= byte <= 13


@compiled_in_place
def _is_digit(byte: Any) -> Any:
    return 48 <= byte <= 57


@compiled_in_place
def _digit_at(data: Bytes, at: Any) -> Any:
    return np.int64(data[at]) - 48


@compiled_in_place
def _bare(data: Bytes, start: Any, end: Any) -> Any:
    """Where the text is without white space; nothing of it where it is what exports write for "no value"."""
    while start < end and _is_white(data[start]):
        start += 1
    while start < end and _is_white(data[end - 1]):
        end -= 1
    if 2 <= end - start <= 4:
        word: Any = 0
        for at in range(start, end):
            byte = np.int64(data[at])
            word = word << 8 | (byte + 32 if 65 <= byte <= 90 else byte)
        # \n, nan, nat, null, none
        if word == 0x5C6E or word == 0x6E616E or word == 0x6E6174 or word == 0x6E756C6C or word == 0x6E6F6E65:
            end = start
    return start, end


@compiled_in_place
def _signed(data: Bytes, start: Any, end: Any) -> Any:
    """Where the text goes on behind a sign, and whether that is a minus."""
    if start < end and (data[start] == 43 or data[start] == 45):
        return start + 1, data[start] == 45
    return start, False


@compiled_in_place
def read_ints(data: Bytes, offsets: Numbers, numbers: Numbers, states: Bytes) -> None:
    """188, +188, 188. and 188.0 are integers, 188.5 and 1e3 are not, nor is what does not fit 32 bits."""
    for row in range(len(numbers)):
        start, end = _bare(data, offsets[row], offsets[row + 1])
        numbers[row] = 0
        states[row] = MISSING
        if start == end:
            continue
        at, is_negative = _signed(data, start, end)
        first = at
        number: Any = 0
        while at < end and _is_digit(data[at]):
            number = min(number * 10 + _digit_at(data, at), 2**32)
            at += 1
        is_int = at > first
        if at < end and data[at] == 46:
            at += 1
            while at < end and data[at] == 48:
                at += 1
        if is_negative:
            number = -number
        states[row] = UNREADABLE
        if is_int and at == end and -(2**31) <= number < 2**31:
            numbers[row] = number
            states[row] = READ


@compiled_in_place
def read_money(data: Bytes, offsets: Numbers, micros: Numbers, states: Bytes) -> None:
    """Decimal numbers in millionths, also as JSON and doubles write small and large ones: 1e-05, with one digit and at
    most 17 decimals before the e, and two digits behind. Exact.
    """
    for row in range(len(micros)):
        start, end = _bare(data, offsets[row], offsets[row + 1])
        micros[row] = 0
        states[row] = MISSING
        if start == end:
            continue
        states[row] = UNREADABLE
        at, is_negative = _signed(data, start, end)
        first = at
        # Of the digits, counted from the first: where the point is, where other ones than 0 begin and end.
        digits = 0
        point = -1
        highest = -1
        lowest = -1
        number = 0
        while at < end and (_is_digit(data[at]) or (data[at] == 46 and point < 0)):
            if data[at] == 46:
                point = digits
            else:
                digit = _digit_at(data, at)
                if digit > 0:
                    lowest = digits
                    if highest < 0:
                        highest = digits
                if highest >= 0 and digits - highest < _MONEY_DIGITS + _MONEY_DECIMALS:
                    number = number * 10 + digit
                digits += 1
            at += 1
        if digits == 0:
            continue
        whole = digits if point < 0 else point
        exponent = 0
        if at < end and (data[at] == 69 or data[at] == 101):
            decimals = digits - whole
            if whole != 1 or decimals > _MANTISSA_DECIMALS or (data[first] == 48 and highest >= 0):
                continue
            at, is_small = _signed(data, at + 1, end)
            first = at
            while at < end and _is_digit(data[at]) and at - first < _EXPONENT_DIGITS:
                exponent = exponent * 10 + _digit_at(data, at)
                at += 1
            if at == first:
                continue
            if is_small:
                exponent = -exponent
        if at < end:
            continue
        if highest < 0:
            states[row] = READ
        elif is_negative:
            states[row] = NEGATIVE
        elif whole - 1 - lowest + exponent < -_MONEY_DECIMALS:
            states[row] = TOO_FINE
        elif whole - 1 - highest + exponent >= _MONEY_DIGITS:
            states[row] = TOO_LARGE
        else:
            # The digits taken end with this power of ten: what is below a millionth is zeros.
            taken = min(digits - highest, _MONEY_DIGITS + _MONEY_DECIMALS)
            power = whole - highest - taken + exponent + _MONEY_DECIMALS
            for _ in range(power):
                number *= 10
            for _ in range(-power):
                number //= 10
            micros[row] = number
            states[row] = READ


@compiled_in_place
def _number_of(data: Bytes, at: Any, digits: int) -> Any:
    """What so many digits say; -1 where they are none."""
    number = 0
    for place in range(at, at + digits):
        if not _is_digit(data[place]):
            return -1
        number = number * 10 + _digit_at(data, place)
    return number


@compiled_in_place
def _fraction_of(data: Bytes, at: Any, end: Any) -> Any:
    """Where the digits end, and what the first six say as microseconds: cut, not rounded."""
    fraction = 0
    unit = _SECOND
    while at < end and _is_digit(data[at]):
        unit //= 10
        fraction += _digit_at(data, at) * unit
        at += 1
    return at, fraction


@compiled_in_place
def _days_until(year: Any, month: Any, day: Any) -> Any:
    """From 1970 to that day of the Gregorian calendar, which begins its years with March here; None where none is."""
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 30 if month in (4, 6, 9, 11) else 31
    if month == 2:
        last = 29 if is_leap else 28
    if not (1 <= month <= 12 and 1 <= day <= last):
        return None
    if month < 3:
        year -= 1
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719_469


@compiled_in_place
def _zone_of(data: Bytes, at: Any, end: Any) -> Any:
    """The minutes that a time's zone is ahead of UTC; None where that is no zone."""
    if at == end:
        return 0
    if data[at] == 32:
        at += 1
    left = end - at
    if left == 1 and data[at] == 90:
        return 0
    if left == 3 and data[at] == 85 and data[at + 1] == 84 and data[at + 2] == 67:
        return 0
    if left < 3 or (data[at] != 43 and data[at] != 45):
        return None
    hours = _number_of(data, at + 1, 2)
    minutes = 0
    if left == 6 and data[at + 3] == 58:
        minutes = _number_of(data, at + 4, 2)
    elif left == 5:
        minutes = _number_of(data, at + 3, 2)
    elif left != 3:
        return None
    if not (0 <= hours < 24 and 0 <= minutes < 60):
        return None
    ahead = hours * 60 + minutes
    return -ahead if data[at] == 45 else ahead


@compiled_in_place
def _clock_of(data: Bytes, start: Any, end: Any) -> Any:
    """2022-07-27 03:58:22.542 with or without a T, seconds, a fraction and a zone, in microseconds; None where none."""
    if end - start < 16 or data[start + 4] != 45 or data[start + 7] != 45 or data[start + 13] != 58:
        return None
    if data[start + 10] != 32 and data[start + 10] != 84:
        return None
    year, month, day = _number_of(data, start, 4), _number_of(data, start + 5, 2), _number_of(data, start + 8, 2)
    hour, minute = _number_of(data, start + 11, 2), _number_of(data, start + 14, 2)
    if year < 0 or not (0 <= hour < 24 and 0 <= minute < 60):
        return None
    second, fraction = 0, 0
    at = start + 16
    if at + 3 <= end and data[at] == 58:
        second = _number_of(data, at + 1, 2)
        if not 0 <= second < 60:
            return None
        at += 3
        if at < end and data[at] == 46:
            first = at + 1
            at, fraction = _fraction_of(data, first, end)
            if at == first:
                return None
    zone = _zone_of(data, at, end)
    days = _days_until(year, month, day)
    if zone is None or days is None:
        return None
    return ((days * 1440 + hour * 60 + minute - zone) * 60 + second) * _SECOND + fraction


@compiled_in_place
def _epoch_of(data: Bytes, start: Any, end: Any) -> Any:
    """Seconds, milliseconds or microseconds since 1970, told apart by their magnitude; None where it is no number."""
    at, is_negative = _signed(data, start, end)
    first = at
    number: Any = 0
    while at < end and _is_digit(data[at]):
        number = min(number * 10 + _digit_at(data, at), _BEYOND_ALL)
        at += 1
    if at == first:
        return None
    fraction = 0
    if at < end and data[at] == 46:
        at, fraction = _fraction_of(data, at + 1, end)
    if at < end:
        return None
    if number <= _SECONDS_UNTIL:
        number = number * _SECOND + fraction
    elif number <= _MILLISECONDS_UNTIL:
        number = number * 1_000 + fraction // 1_000
    return -number if is_negative else number


@compiled_in_place
def read_times(data: Bytes, offsets: Numbers, micros: Numbers, states: Bytes) -> None:
    """Clocks and epochs as microseconds since 1970 UTC, from year 1 to 9999, what every store and language can hold."""
    for row in range(len(micros)):
        start, end = _bare(data, offsets[row], offsets[row + 1])
        micros[row] = 0
        states[row] = MISSING
        if start == end:
            continue
        states[row] = UNREADABLE
        time = _clock_of(data, start, end)
        if time is None:
            time = _epoch_of(data, start, end)
        if time is not None and _YEAR_1 <= time < _YEAR_10000:
            micros[row] = time
            states[row] = READ


@compiled_in_place
def read_time_uuids(
    data: Bytes, offsets: Numbers, newest: int, texts: npt.NDArray[np.uint8], received: Numbers, states: Bytes
) -> None:
    """TimeUUIDs (RFC 9562, version 1) in lower case, a row of `texts` each, and the times in them as microseconds since
    1970 UTC; later than `newest` they are IN_FUTURE.
    """
    for row in range(len(received)):
        start, end = _bare(data, offsets[row], offsets[row + 1])
        received[row] = 0
        states[row] = MISSING if start == end else UNREADABLE
        texts[row] = 63
        if end - start != UUID_TEXT:
            continue
        for place in range(UUID_TEXT):
            # The bit by which lower case differs; digits and hyphens have it.
            texts[row, place] = data[start + place] | 32
        wrong: Any = 0
        for place in (8, 13, 18, 23):
            wrong |= np.int64(data[start + place]) ^ 45
        bits: Any = 0
        for first, after in ((0, 8), (9, 13), (14, 18)):
            for place in range(first, after):
                digit = np.int64(_HEX[data[start + place]])
                wrong |= digit & _NO_HEX
                bits = bits << 4 | digit
        for first, after in ((19, 23), (24, 36)):
            for place in range(first, after):
                wrong |= np.int64(_HEX[data[start + place]]) & _NO_HEX
        # All 60 bits of time and the version's four, as they are written.
        if wrong == 0 and bits >> 12 & 15 == 1 and _HEX[data[start + 19]] >> 2 == 2:
            # 100 ns since 15 October 1582; the tenth is taken before the epochs' distance, so that it floors.
            ticks = (bits & 0xFFF) << 48 | (bits >> 16 & 0xFFFF) << 32 | (bits >> 32 & 0xFFFFFFFF)
            received[row] = ticks // 10 - _GREGORIAN
            states[row] = IN_FUTURE if received[row] > newest else READ
