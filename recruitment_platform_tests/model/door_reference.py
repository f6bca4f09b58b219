"""The rules of the door once more, a row at a time in plain Python, without its kernels: what the door is held to."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from recruitment_platform.model.contract import TRACKING
from recruitment_platform.model.door import DoorRules
from recruitment_platform.simulation.faults import payload_hash

Text = str | None
WHITE = " \t\n\v\f\r"
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT_COLUMNS = ("campaign_id", "cd", "ev", "group_id", "job_id", "publisher_id", "tz", "v")
ID_COLUMNS = ("campaign_id", "group_id", "job_id", "publisher_id")


class RejectedError(Exception):
    """Why a row is refused."""


def judge(row: Mapping[str, Text], rules: DoorRules, source: str, position: int, now: datetime) -> dict[str, Any] | str:
    """The lake's row of an event given as texts, or the reason why it is rejected."""
    try:
        return _accepted(row, rules, source, position, now)
    except RejectedError as reason:
        return str(reason)


def _accepted(row: Mapping[str, Text], rules: DoorRules, source: str, position: int, now: datetime) -> dict[str, Any]:
    given = {name: row.get(name) for name in TRACKING.column_names}
    flags: dict[str, list[str]] = {name: [] for name in TRACKING.column_names}
    event: dict[str, Any] = {}

    event["create_time"], received = read_create_time(given["create_time"], now)
    for name in (*ID_COLUMNS, "cd", "ev", "tz", "v"):
        said = unmarked(given[name])
        event[name] = None if said is None else read_int(said)
        if said is not None and event[name] is None:
            if name in ID_COLUMNS:
                raise RejectedError(f"{name} is not an integer")
            flags[name].append("unreadable")
    event["bid"] = read_bid(given["bid"])

    ed = given["ed"] or None
    members = read_object(ed)
    if ed is not None and members is None:
        flags["ed"].append("unreadable")
    ed_job, ed_job_is_bad = read_member(members, "jobId")
    ed_publisher, _ = read_member(members, "publisherId")
    if unmarked(given["job_id"]) is None and ed_job_is_bad:
        raise RejectedError("jobId in ed is not an integer")

    said = unmarked(given["ts"])
    event["ts"] = None if said is None else read_ts(said)
    if said is not None and event["ts"] is None:
        flags["ts"].append("unreadable")
    believed = event["ts"] is not None and received - rules.max_age <= event["ts"] <= received + rules.max_ahead
    event_time = event["ts"] if believed else received
    event_date = event_time.astimezone(ZoneInfo(rules.time_zone)).date()
    if event_date < rules.first_day:
        raise RejectedError(f"event day is before the first day {rules.first_day}")

    for column in TRACKING.columns:
        if column.type.kind == "text" and column.name != "create_time":
            event[column.name] = given[column.name] or None
    payload_hash = hash_of(event)
    for column in TRACKING.columns:
        value = event[column.name]
        if column.type.kind == "text" and value is not None and len(value) > column.type.length:
            event[column.name] = value[: column.type.length]
            flags[column.name].append("cut")
    noted = [f"{name} {what}" for name in TRACKING.column_names for what in flags[name]]
    return {
        **event,
        "received_at": received,
        "event_time": event_time,
        "event_date": event_date,
        "time_source": "ts" if believed else "create_time",
        "resolved_job_id": ed_job if event["job_id"] is None else event["job_id"],
        "resolved_publisher_id": ed_publisher if event["publisher_id"] is None else event["publisher_id"],
        "bid_micros": 0 if event["bid"] is None else micros(event["bid"]),
        "payload_hash": payload_hash,
        "flags": "; ".join(noted) or None,
        "source": source,
        "position": position,
    }


def unmarked(value: Text) -> Text:
    if value is None or value.strip(WHITE).lower() in {"", "nan", "null", "none", "\\n", "nat"}:
        return None
    return value.strip(WHITE)


def read_create_time(value: Text, now: datetime) -> tuple[str, datetime]:
    said = unmarked(value)
    if said is None:
        raise RejectedError("create_time is missing")
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", said):
        raise RejectedError("create_time is not a TimeUUID")
    uuid = UUID(said)
    if uuid.version != 1:
        raise RejectedError("create_time is not a TimeUUID")
    received = datetime(1582, 10, 15, tzinfo=UTC) + uuid.time // 10 * MICROSECOND
    if received > now + timedelta(days=1):
        raise RejectedError("create_time lies in the future")
    return str(uuid), received


def read_int(said: str) -> int | None:
    if not re.fullmatch(r"[+-]?[0-9]+(\.0*)?", said):
        return None
    number = int(said.partition(".")[0])
    return number if -(2**31) <= number < 2**31 else None


def read_bid(value: Text) -> Decimal | None:
    said = unmarked(value)
    if said is None:
        return None
    plain = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)"
    scientific = r"[+-]?([1-9](\.[0-9]{0,17})?|0(\.0{0,17})?)[eE][+-]?[0-9]{1,2}"
    if not re.fullmatch(f"{plain}|{scientific}", said):
        raise RejectedError("bid is not a number")
    number = Decimal(said)
    if number < 0:
        raise RejectedError("bid is negative")
    _, digits, exponent = number.as_tuple()
    significant = "".join(map(str, digits)).rstrip("0")
    if significant and int(exponent) + len(digits) - len(significant) < -6:
        raise RejectedError("bid has more than 6 decimals")
    if number >= 10**12:
        raise RejectedError("bid is too large")
    return Decimal(int(number * 10**6)).scaleb(-6)


def micros(money: Decimal) -> int:
    return int(money.scaleb(6))


def read_object(ed: Text) -> dict[str, str] | None:
    """The texts of the object's members, null as an empty one; of equal names the first counts."""
    if ed is None:
        return None

    def first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(reversed(pairs))

    try:
        value = json.loads(
            ed, object_pairs_hook=first_of_each, parse_int=_NumberText, parse_float=_NumberText, parse_constant=str
        )
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class _NumberText(str):
    """A JSON number as it was written."""


def read_member(members: dict[str, Any] | None, name: str) -> tuple[int | None, bool]:
    """The member's int, and whether there is a member that is none."""
    value = None if members is None else members.get(name)
    if isinstance(value, _NumberText):
        number = float(value)
        fits = number.is_integer() and -(2**31) <= number < 2**31
        return (int(number), False) if fits else (None, True)
    if isinstance(value, str):
        said = unmarked(value)
        number_said = None if said is None else read_int(said)
        return number_said, said is not None and number_said is None
    return None, value is not None


CLOCK = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)? ?(?:Z|UTC|([+-])(\d\d)(?::?(\d\d))?)?", re.ASCII
)


def read_ts(said: str) -> datetime | None:
    clock = CLOCK.fullmatch(said)
    if clock:
        year, month, day, hour, minute = map(int, clock.groups()[:5])
        second, fraction, sign, offset_hours, offset_minutes = clock.groups()[5:]
        offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
        if int(offset_hours or 0) > 23 or int(offset_minutes or 0) > 59:
            return None
        try:
            local = datetime(year, month, day, hour, minute, int(second or 0), int((fraction or "0")[:6].ljust(6, "0")))
            utc = local + offset if sign == "-" else local - offset
        except (ValueError, OverflowError):
            return None
        return utc.replace(tzinfo=UTC)
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", said):
        return None
    number = Fraction(said)
    whole = abs(int(number))
    scale = 10**6 if whole < 10**11 else 10**3 if whole < 10**14 else 1
    try:
        return EPOCH + int(number * scale) * MICROSECOND
    except OverflowError:
        return None


def hash_of(event: Mapping[str, Any]) -> int:
    numbers = {name: micros(value) for name, value in event.items() if isinstance(value, Decimal)}
    times = {name: (value - EPOCH) // MICROSECOND for name, value in event.items() if isinstance(value, datetime)}
    return payload_hash({**event, **numbers, **times})
