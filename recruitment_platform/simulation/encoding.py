"""Intents as the raw text that the door takes: ints as `188.0`, empty for null, times in every form in use.

What belongs here: spelling, without loss: every spelling of a value is the same value to the contract. What does not:
values (`events`), or spellings that must be rejected (`faults`).
"""

from decimal import Decimal
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.model.contract import TRACKING
from recruitment_platform.simulation.chance import chosen
from recruitment_platform.simulation.market import NONE, Ints
from recruitment_platform.simulation.text import as_ints, numbers_of, of_dictionary, replaced, spelled, validity, whole
from recruitment_platform.simulation.times import DAY, HOUR, MINUTE, SECOND

INTS = ("{}.0", "{}", "{}.", " {} ", "{}.00")
INT_SHARES = (0.6, 0.385, 0.005, 0.005, 0.005)

NULLS = (None, "", "nan", "NULL", "None", "\\N", " NaT ")
NULL_SHARES = (0.6, 0.37, 0.01, 0.005, 0.005, 0.005, 0.005)
"""Spellings of null in columns that are not text; in those, only the first two are."""

ZONES = (("", 0), ("Z", 0), ("+07:00", 7 * HOUR), (" UTC", 0), ("-0330", -(3 * HOUR + 30 * MINUTE)), ("+00", 0))
"""Suffixes of a time, with what they add to UTC."""

TIME_SHARES = (0.85, 0.04, 0.02, 0.01, 0.01, 0.01, 0.03, 0.03)
"""Of the suffixes above, and of seconds and milli- or microseconds since 1970."""

EPOCH_SECONDS, EPOCH_FINE, NO_TIME = (len(ZONES) + more for more in range(3))

EPOCH_FROM, EPOCH_UNTIL = 20 * 365 * DAY, 130 * 365 * DAY
"""Times for which the magnitude of a number tells its unit."""


def as_text(intents: pa.Table, rng: np.random.Generator) -> pa.Table:
    """The tracking columns of these intents as text, in the contract's order; `raw_column` holds `raw_text`.

    Columns of few values are dictionaries, of which a value may be null.
    """
    count = len(intents)
    null_form = chosen(rng, NULL_SHARES, count)
    int_form = chosen(rng, INT_SHARES, count)
    empty = null_form > 0
    raw: dict[str, pa.Array] = {}
    for column in TRACKING.columns:
        values = whole(intents[column.name])
        match column.type.kind:
            case "int":
                raw[column.name] = spelled(as_ints(values), int_form, _int, NULLS, null_form)
            case "decimal":
                raw[column.name] = spelled(as_ints(values), rng.integers(0, 6, count), _money, NULLS, null_form)
            case "timestamp":
                raw[column.name] = _times(as_ints(values), null_form, rng)
            case _:
                raw[column.name] = _with_empty_ones(values, empty)
    others = _spoilt(intents)
    upper = np.flatnonzero(rng.random(count) < 0.01)
    rows, texts = others.get("create_time", (upper[:0], pa.array([], pa.string())))
    both = np.union1d(upper, rows)
    in_capitals = pc.utf8_upper(raw["create_time"].take(pa.array(both)))
    others["create_time"] = both, replaced(in_capitals, np.searchsorted(both, rows), texts)
    for name, (rows, texts) in others.items():
        raw[name] = replaced(raw[name], rows, texts)
    return pa.table(raw)


def _spoilt(intents: pa.Table) -> dict[str, tuple[Ints, pa.Array]]:
    """By column the rows in which another text arrives than is intended, and these texts."""
    columns, texts = (whole(intents[name]) for name in ("raw_column", "raw_text"))
    spoilt = np.flatnonzero(validity(columns))
    codes = numbers_of(columns)[spoilt]
    rows = {name: spoilt[codes == code] for code, name in enumerate(columns.dictionary.to_pylist())}
    return {name: (here, texts.take(pa.array(here)).dictionary_decode()) for name, here in rows.items() if len(here)}


def _with_empty_ones(texts: pa.Array, empty: npt.NDArray[np.bool_]) -> pa.Array:
    """The texts, plain or a dictionary, of whose nulls those that are `empty` are empty texts."""
    if not texts.null_count:
        return texts
    is_valid = validity(texts)
    if not pa.types.is_dictionary(texts.type):
        # There are no bytes behind a null.
        _, ends, octets = texts.buffers()
        bits = pa.py_buffer(np.packbits(is_valid | empty, bitorder="little"))
        return pa.Array.from_buffers(texts.type, len(texts), [bits, ends.slice(4 * texts.offset), octets])
    null = np.int32(len(texts.dictionary)) + empty
    codes = (numbers_of(texts) - null) * is_valid + null
    return of_dictionary(codes, pa.concat_arrays([texts.dictionary, pa.array([None, ""])]))


def _int(value: int, form: int) -> str:
    return INTS[form].format(value)


def _money(micros: int, form: int) -> str:
    """1.5 as 1.5, 1.50, 1.500000, 1.50000000, +1.5; 0.35 as .35, 1 as 1 or 1.0."""
    exact = Decimal(micros).scaleb(-6)
    shortest = f"{exact:f}".rstrip("0").rstrip(".")
    match form:
        case 0:
            return shortest
        case 1:
            return shortest if "." in shortest else f"{shortest}.0"
        case 2:
            return f"{exact:.6f}"
        case 3:
            return f"{exact:.8f}"
        case 4:
            return f"+{shortest}"
        case _:
            return shortest.removeprefix("0") or "0."


def _times(times: Ints, null_form: Ints, rng: np.random.Generator) -> pa.Array:
    """Each time in one of the forms of real ones, without losing precision; a spelling of null where it is `NONE`."""
    from recruitment_platform.simulation.kernels import time_texts

    form = chosen(rng, TIME_SHARES, len(times))
    form[(times < EPOCH_FROM) | (times > EPOCH_UNTIL)] = 0
    form = np.where(times == NONE, NO_TIME + null_form, form)
    octets, offsets = time_texts(times, form, *_time_forms())
    is_null = form == NO_TIME + NULLS.index(None)
    buffers = (np.packbits(~is_null, bitorder="little"), offsets, octets)
    return pa.Array.from_buffers(pa.string(), len(times), [*map(pa.py_buffer, buffers)])


@cache
def _time_forms() -> tuple[Ints, npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """(shifts, separators, tails, where these begin and end) of the forms of times, and of nulls behind them."""
    tails = [*(suffix for suffix, _ in ZONES), "", "", *(null or "" for null in NULLS)]
    return (
        np.array([shift // SECOND for _, shift in ZONES]),
        np.frombuffer(b" TT" + b" " * (len(ZONES) - 3), np.uint8),
        np.frombuffer("".join(tails).encode(), np.uint8),
        np.cumsum([0, *map(len, tails)], dtype=np.int32),
    )
