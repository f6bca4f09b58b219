"""The plot shows the day's clicks and spend by hour, and is short enough to be seen without a click."""

import re
from decimal import Decimal
from urllib.parse import unquote
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from recruitment_platform.assets.plot import LONGEST, hourly_plot

NAME = "{http://www.w3.org/2000/svg}"


def facts(*rows: tuple[int, int, str]) -> pa.Table:
    """Hour, clicks and spend of each row."""
    hours, clicks, spend = ([row[number] for row in rows] for number in range(3))
    return pa.table(
        {
            "hours": pa.array(hours, pa.int32()),
            "clicks": pa.array(clicks, pa.int64()),
            "spend_hour": pa.array(map(Decimal, spend), pa.decimal128(18, 6)),
        }
    )


def picture(plot: str) -> ElementTree.Element:
    """The SVG in the Markdown."""
    found = re.fullmatch(r"!\[clicks and spend by hour\]\(data:image/svg\+xml,(\S+)\)", plot)
    assert found, plot
    return ElementTree.fromstring(unquote(found[1]))


def drawn(plot: str) -> tuple[list[int], list[int]]:
    """How high clicks and spend stand above the bottom, by hour."""
    clicks, spend = (path.attrib["d"] for path in picture(plot).iter(f"{NAME}path"))
    bottom = int(re.match(r"M0,(\d+)", clicks)[1])  # type: ignore[index]
    steps = re.findall(r"V(\d+)h20", clicks)
    line = re.findall(r"[ML]\d+,(\d+)", spend)
    return [bottom - int(y) for y in steps], [bottom - int(y) for y in line]


def test_clicks_and_spend_of_an_hour_are_added_up_and_drawn_to_scale() -> None:
    plot = hourly_plot(facts((0, 10, "1"), (0, 10, "2"), (6, 5, "12.00"), (23, 10, "0")), "USD")
    clicks, spend = drawn(plot)
    assert clicks == [80, *[0] * 5, 20, *[0] * 16, 40]
    assert spend == [20, *[0] * 5, 80, *[0] * 17]
    assert [text.text for text in picture(plot).iter(f"{NAME}text")] == [
        "clicks: up to 20 an hour",
        "spend: up to 12.00 USD an hour",
        "0",
        "6",
        "12",
        "18",
    ]


def test_a_day_without_facts_is_flat() -> None:
    assert drawn(hourly_plot(facts(), "USD")) == ([0] * 24, [0] * 24)


@pytest.mark.parametrize("swing", [1, 2])
def test_the_busiest_day_still_fits_what_is_shown_unasked(swing: int) -> None:
    busiest = [(hour, 10**9 // swing ** (hour % 2), "999999999.999999") for hour in range(24)]
    assert len(hourly_plot(facts(*busiest), "USD")) <= LONGEST
