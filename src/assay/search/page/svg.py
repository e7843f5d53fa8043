"""A chart as inline SVG. Owns how numbers become places, axes and marks; knows nothing of searches.

A mark of a trial carries its number in `data-t`: page.js shows by it what the table says of the trial, and lights it up
wherever else it stands.
"""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]
SIZE = 4.0  # of a dot, radius


@dataclass(frozen=True)
class Scale:
    """From a value in `low`…`high` to a place in `start`…`end`; what lies outside stands at the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, low))
        share = 0.5 if high <= low else min(1.0, max(0.0, (at - low) / (high - low)))
        return self.start + share * (self.end - self.start)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def ticks(self, num: int = 5) -> list[float]:
        """About `num` round values."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if self.high / self.low <= 100 else (1,)
            round_ones = [each * 10.0**power for power in powers[:: max(1, len(powers) // num)] for each in steps]
            within = [each for each in round_ones if self.low * (1 - 1e-9) <= each <= self.high * (1 + 1e-9)]
            if len(within) > 1:
                return within
        return round_values(self.low, self.high, num)


def round_values(low: float, high: float, num: int) -> list[float]:
    """Multiples of 1, 2 or 5 × 10^k within `low`…`high`, about `num` of them."""
    if high <= low:
        return [low]
    rough = (high - low) / num
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * by for by in (1, 2, 5, 10) if power * by >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(each * step, 12) for each in range(first, math.floor(high / step + 1e-9) + 1)]


def as_words(ticks: Sequence[float]) -> list[str]:
    """As short as they can be and still differ."""
    digits = next((num for num in range(3, 13) if len({f"{tick:.{num}g}" for tick in ticks}) == len(ticks)), 13)
    return [f"{tick:.{digits}g}" for tick in ticks]


@dataclass
class Chart:
    """A picture under way: `width` × `height`, what was drawn last on top."""

    width: int
    height: int
    parts: list[str] = field(default_factory=list)

    def line(self, points: Sequence[Point], kind: str, trial: int | None = None, colour: str = "") -> None:
        """A line through `points`; that of a trial can be pointed at beside it too."""
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        style = f' style="stroke:{colour}"' if colour else ""
        drawn = f'<path class="{kind}" d="{path}"{style}/>'
        near = f'<path class="near" d="{path}"/>'
        self.parts.append(drawn if trial is None else f'<g data-t="{trial}">{near}{drawn}</g>')

    def dot(self, x: float, y: float, kind: str, trial: int, edge: int = 0, colour: str = "") -> None:
        """A dot; with `edge` a triangle that points up (-1) or down (1), where its value lies."""
        style = f' style="fill:{colour}"' if colour else ""
        if edge:
            tip, base = y + edge * SIZE, y - edge * SIZE
            path = f"M{x:.1f} {tip:.1f}L{x - SIZE:.1f} {base:.1f}L{x + SIZE:.1f} {base:.1f}Z"
            self.parts.append(f'<path class="dot {kind}" data-t="{trial}" d="{path}"{style}/>')
        else:
            place = f'cx="{x:.1f}" cy="{y:.1f}" r="{SIZE}"'
            self.parts.append(f'<circle class="dot {kind}" data-t="{trial}" {place}{style}/>')

    def bar(self, x: float, y: float, width: float, height: float, kind: str, trial: int | None = None) -> None:
        told = "" if trial is None else f' data-t="{trial}"'
        place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}"'
        self.parts.append(f'<rect class="{kind}"{told} rx="2" {place}/>')

    def text(self, x: float, y: float, words: str, anchor: str = "middle", kind: str = "", turned: int = 0) -> None:
        """Words, `turned` by so many degrees around their place."""
        said = f' class="{kind}"' if kind else ""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        place += f' transform="rotate({turned} {x:.1f} {y:.1f})"' if turned else ""
        self.parts.append(f"<text{said} {place}>{html.escape(words)}</text>")

    def across(self, scale: Scale, y: float, label: str, marks: Iterable[tuple[float, str]] | None = None) -> None:
        """The axis from left to right, at height `y`."""
        self.line([(scale.start, y), (scale.end, y)], "axis")
        ticks = scale.ticks()
        for value, words in zip(ticks, as_words(ticks), strict=True) if marks is None else marks:
            self.text(scale(value), y + 16, words, kind="tick")
        self.text((scale.start + scale.end) / 2, y + 34, label, kind="label")

    def upright(self, scale: Scale, left: float, right: float, label: str) -> None:
        """The axis from bottom to top, with a thin line at each tick."""
        self.grid(scale, left, right, scale.ticks())
        self.text(left - 6, scale.end - 10, label, "start", "label")

    def grid(self, scale: Scale, left: float, right: float, ticks: Sequence[float]) -> None:
        for tick, words in zip(ticks, as_words(ticks), strict=True):
            self.line([(left, scale(tick)), (right, scale(tick))], "grid")
            self.text(left - 6, scale(tick) + 4, words, "end", "tick")

    def svg(self, says: str) -> str:
        """The picture; `says` is what it shows, for who cannot see it."""
        told = f'role="img" aria-label="{html.escape(says, quote=True)}"'
        return f'<svg viewBox="0 0 {self.width} {self.height}" {told}>{"".join(self.parts)}</svg>'
