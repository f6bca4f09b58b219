"""Which days need a run, and why: the lake's state of each day against the state that the day is accounted for by.

States are compared, not signals: nothing is remembered, so nothing can be lost, and any two who look find the same.
Pure: no store is asked, so the cost is days x sources, whatever the number of events. What belongs here: what a day
needs. What does not: asking for runs (`automation.requests`), a day's state as people read it (`pipeline.status`).
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from recruitment_platform.pipeline import facts, snapshot
from recruitment_platform.pipeline.billing import Accounted
from recruitment_platform.pipeline.manifests import is_behind
from recruitment_platform.resources.protocols import DayState, Watermark

CODE_VERSION = f"{snapshot.CODE_VERSION}-{facts.CODE_VERSION}"
"""Of the transforms, as facts name it: a new one is another input, so that what it mends is tried again."""

Need = Literal["none", "missing", "failed", "behind"]

NEEDS: dict[Need, str] = {
    "none": "the facts are made from what the lake holds",
    "missing": "expected, but never loaded",
    "failed": "loaded from what the lake holds, but its newest run failed",
    "behind": "the lake holds something else than the day is accounted for by",
}
"""What each need means."""


@dataclass(frozen=True)
class Window:
    """The days that are looked at: partitions from `first` to `today`, of which `expected` is the last expected one.

    Expected days begin with the lake's first, and at most `look_back` days before that last one.
    """

    first: date
    today: date
    expected: date
    look_back: int


@dataclass(frozen=True)
class DayNeed:
    """What a day needs, and why. `input` names what a run of it would work on: it changes with that, and only then.

    The input is the lake's state of the day, what the day is accounted for by, and the code. `accounted` is None where
    the day was never loaded.
    """

    day: date
    need: Need
    input: str
    expected: bool
    accounted: Accounted | None
    reason: str = ""


def day_needs(
    states: Iterable[DayState],
    accounted: Mapping[date, Accounted],
    failed: Collection[date],
    window: Window,
) -> list[DayNeed]:
    """Every day that is expected, has events or is accounted for, ascending.

    `states` are the lake's, `failed` the days whose newest run failed; closed days are accounted for by adjustments.
    A day that was never loaded is missing where it is expected, and behind where it is not but has events; one that is
    loaded is behind where the lake's watermark is another one, ahead or not. A failed run counts for expected days
    only: others are asked for when they are behind.
    """
    held: dict[date, list[DayState]] = defaultdict(list)
    for state in states:
        if window.first <= state.event_date <= window.today:
            held[state.event_date].append(state)
    expected = _expected(min(held, default=None), window)
    loaded = {day for day in accounted if window.first <= day <= window.today}
    return [
        _need(day, held.get(day, []), accounted.get(day), day in failed, day in expected)
        for day in sorted(held.keys() | expected | loaded)
    ]


def for_freshness(needs: Iterable[DayNeed], now: datetime, grace: timedelta) -> list[DayNeed]:
    """Expected days that are missing, failed or overdue: behind, with facts older than `grace`."""
    return [
        found
        for found in needs
        if found.expected
        and (
            found.need in ("missing", "failed")
            or (found.need == "behind" and found.accounted is not None and found.accounted.at <= now - grace)
        )
    ]


def for_late_data(needs: Iterable[DayNeed]) -> list[DayNeed]:
    """Days that are behind, expected or not."""
    return [found for found in needs if found.need == "behind"]


def _expected(opening: date | None, window: Window) -> set[date]:
    if opening is None:
        return set()
    begin = max(opening, window.expected - timedelta(days=window.look_back - 1))
    return {begin + timedelta(days=n) for n in range((window.expected - begin).days + 1)}


def _need(
    day: date, states: Collection[DayState], accounted: Accounted | None, has_failed: bool, expected: bool
) -> DayNeed:
    need, reason = _verdict({state.source: state.last_position for state in states}, accounted, has_failed, expected)
    return DayNeed(day, need, _input(states, accounted), expected, accounted, reason)


def _verdict(watermark: Watermark, accounted: Accounted | None, has_failed: bool, expected: bool) -> tuple[Need, str]:
    if accounted is None:
        why = "never loaded, its newest run failed" if has_failed else "never loaded"
        if expected:
            return "missing", why
        return ("behind", why) if watermark else ("none", "")
    if watermark != accounted.watermark:
        came = is_behind(accounted.watermark, watermark)
        if came:
            return "behind", f"events came in after it was loaded, from {_listed(came)}"
        return "behind", f"the lake is behind the facts, at {_listed(is_behind(watermark, accounted.watermark))}"
    if has_failed and expected:
        return "failed", "its newest run failed"
    return "none", ""


def _input(states: Iterable[DayState], accounted: Accounted | None) -> str:
    document = [
        CODE_VERSION,
        sorted([state.source, state.last_position, state.rows, state.hash_sum] for state in states),
        [sorted(accounted.watermark.items()), accounted.at.isoformat()] if accounted else None,
    ]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()[:16]


def _listed(sources: list[str]) -> str:
    return sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more"
