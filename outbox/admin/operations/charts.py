"""Charts as SVG paths. Their numbers are repeated in a table, and no script draws them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from django.utils.functional import Promise

HEIGHT = 100  # of the drawing, which the page stretches to its width
_STEP, _BAR = 4, 3  # widths of an interval, and of its bar


@dataclass(frozen=True, slots=True)
class Series:
    """What is counted, in the order in which the bars are stacked."""

    tone: str  # the CSS class of its color
    label: str | Promise
    path: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked bars, one for each interval."""

    series: list[Series]
    width: int
    top: float  # the value at the upper edge

    @property
    def view_box(self) -> str:
        """Return the coordinates of the drawing."""
        return f"0 0 {self.width} {HEIGHT}"


def stacked(
    kinds: Sequence[tuple[str, str | Promise]],
    rows: Sequence[Sequence[float]],
    top_min: float,
    top_max: float = float("inf"),
) -> Chart:
    """Return a chart of rows with one value for each kind: its tone and its label."""
    highest = max((sum(row) for row in rows), default=0)
    top = min(max(round_up(highest), top_min), top_max)
    paths: list[list[str]] = [[] for _ in kinds]
    for number, row in enumerate(rows):
        base = 0.0
        for path, value in zip(paths, row, strict=True):
            if value:
                path.append(_bar(number * _STEP, base / top, value / top))
            base += value
    series = [
        Series(tone, label, "".join(path)) for (tone, label), path in zip(kinds, paths, strict=True)
    ]
    return Chart(series, max(len(rows), 1) * _STEP, top)


def _bar(left: int, base: float, share: float) -> str:
    bottom, height = HEIGHT * (1 - base), HEIGHT * share
    return f"M{left} {bottom:.2f}v{-height:.2f}h{_BAR}v{height:.2f}z"


def round_up(value: float) -> float:
    """Return the next number that is 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 0.0
    power: float = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 5, 10) if ceil(value / power * 1e6) <= step * 1e6)
