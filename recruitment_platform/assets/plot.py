"""The plot of a day: clicks and spend by hour, as a picture small enough to stand in an event's metadata.

What belongs here: drawing. What does not: where the figures come from, and which asset shows them.
"""

import base64
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO

import numpy as np
import pyarrow as pa

HOURS = range(24)
MICROS = 1_000_000

Plot = Callable[[Sequence[float], Sequence[float]], bytes]


def hourly_plot(rows: pa.Table, currency: str) -> str:
    """Markdown with the picture inline, about 5 kB; `rows` has `hours`, `clicks`, `spend_hour`."""
    totals = rows.group_by("hours").aggregate([("clicks", "sum"), ("spend_hour", "sum")])
    clicks, spend = np.zeros(len(HOURS)), np.zeros(len(HOURS))
    hours = totals.column("hours").to_numpy().astype(int)
    clicks[hours] = totals.column("clicks_sum").to_numpy()
    # A float will do: it becomes a height in pixels.
    spend[hours] = [float(value) for value in totals.column("spend_hour_sum").to_pylist()]
    picture = base64.b64encode(_plot(currency)(list(clicks), list(spend))).decode()
    return f"![clicks and spend by hour](data:image/png;base64,{picture})"


@cache
def _plot(currency: str) -> Plot:
    """A figure that is drawn again for each day: making one takes twice as long as drawing it."""
    # Not at import: definitions must load fast.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(4.6, 1.6), dpi=80)
    canvas = FigureCanvasAgg(figure)
    left = figure.add_axes((0.1, 0.16, 0.8, 0.72))
    bars = left.bar(HOURS, [0] * len(HOURS), color="#4c78a8", width=0.8)
    left.set_title(f"clicks (bars) and spend in {currency} (line) by hour", fontsize=7)
    left.set_xlim(-0.6, 23.6)
    left.set_xticks(HOURS[::3])
    right = left.twinx()
    (line,) = right.plot(HOURS, [0] * len(HOURS), color="#e45756", linewidth=1.2, marker=".", markersize=3)
    for axes in (left, right):
        axes.tick_params(labelsize=7, length=2)

    def draw(clicks: Sequence[float], spend: Sequence[float]) -> bytes:
        for bar, height in zip(bars, clicks, strict=True):
            bar.set_height(height)
        line.set_ydata(spend)
        left.set_ylim(0, max(clicks) * 1.05 or 1)
        right.set_ylim(0, max(spend) * 1.05 or 1)
        canvas.draw()  # type: ignore[no-untyped-call]
        size = canvas.get_width_height()
        pixels = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
        picture = Image.frombuffer("RGBA", size, pixels, "raw", "RGBA", 0, 1)
        png = BytesIO()
        picture.convert("RGB").quantize(16).save(png, format="png")
        return png.getvalue()

    return draw
