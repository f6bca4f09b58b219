"""The plot of a day: clicks and spend by hour, as a picture so short that Dagster's page shows it unasked.

What belongs here: drawing. What does not: where the figures come from, and which asset shows them.
"""

from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa

HOURS = range(24)

LONGEST = 999
"""Of a text with more characters Dagster's page shows a link in place of the picture."""

_STEP = 20
_TOP, _BOTTOM = 16, 96


def hourly_plot(rows: pa.Table, currency: str) -> str:
    """Markdown with the picture inline, at most LONGEST characters; `rows` has `hours`, `clicks`, `spend_hour`.

    The picture is SVG: steps for clicks, a line for spend, each as high as its own maximum, which is written above.
    """
    clicks, spend = [0] * len(HOURS), [Decimal(0)] * len(HOURS)
    totals = rows.group_by("hours").aggregate([("clicks", "sum"), ("spend_hour", "sum")])
    for total in totals.to_pylist():
        clicks[total["hours"]] = total["clicks_sum"]
        spend[total["hours"]] = Decimal(total["spend_hour_sum"])
    steps = "".join(f"V{y}h{_STEP}" for y in _heights(clicks))
    first, *others = _heights(spend)
    line = "".join(f"L{_STEP * hour + _STEP // 2},{y}" for hour, y in enumerate(others, start=1))
    hours = "".join(f"<text x='{_STEP * hour + 4}' y='{_BOTTOM + 12}'>{hour}</text>" for hour in HOURS[::6])
    picture = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_STEP * len(HOURS)}' height='{_BOTTOM + 14}' "
        "fill='gray' font-family='Arial' font-size='11'>"
        f"<path d='M0,{_BOTTOM}{steps}V{_BOTTOM}' fill='steelblue'/>"
        f"<path d='M{_STEP // 2},{first}{line}' fill='none' stroke='tomato' stroke-width='2'/>"
        f"<text y='9' fill='steelblue'>clicks: up to {max(clicks):,} an hour</text>"
        f"<text x='240' y='9' fill='tomato'>spend: up to {max(spend):,.2f} {currency} an hour</text>"
        f"{hours}</svg>"
    )
    # In the address of Markdown's picture only a space must be escaped: it would end it.
    return f"![clicks and spend by hour](data:image/svg+xml,{picture.replace(' ', '%20')})"


def _heights(values: Sequence[int | Decimal]) -> list[int]:
    """Where each value lies between bottom and top, the largest at the top."""
    most = max(values) or 1
    return [_BOTTOM - round(value * (_BOTTOM - _TOP) / most) for value in values]
