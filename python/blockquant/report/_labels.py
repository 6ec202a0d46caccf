"""Labels on plots: ticks of logarithmic axes, and names of curves that coincide."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator
from numpy.typing import NDArray

_Points = NDArray[np.float64]

#: Points are 1/72 inch. Curves closer than this lie on top of each other.
_CLOSE = 2.0
#: Curves coincide if at least this share of both lies on top of each other.
_SHARE = 0.5
#: Height of the strip at the lower edge where all densities meet. It does not count.
_FLOOR = 6.0
#: Distance between the points of a curve that a label must not cover, and their greatest number.
_STEP, _MOST = 3.0, 1000
#: Distances from a curve to its label that are tried.
_AWAY = (16.0, 28.0, 44.0, 64.0)
_FONT = 6.5
#: A point that is far from all others.
_AFAR = np.full((1, 2), -1e6)
#: The place that a label points to should have at least this distance from the other curves.
_APART = 10.0
#: Width and height of a letter, relative to the size of the font.
_LETTER = (0.56, 1.25)
#: Least distance between a label and the edges of the axes.
_MARGIN = 2.0


def log_ticks(axis: Any) -> None:
    """Ticks with plain numbers at 1, 2 and 5 of each decade, or at 1 and 3 for many decades."""
    low, high = np.log10(axis.get_view_interval())
    axis.set_major_locator(LogLocator(numticks=20))
    subs = (2.0, 5.0) if high - low <= 4 else (3.0,)
    axis.set_minor_locator(LogLocator(subs=subs, numticks=40))
    shown = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(shown)
    axis.set_minor_formatter(shown)
    axis.set_tick_params(which="minor", labelsize=6.5)


class _Box(NamedTuple):
    """A label's place, in points from the lower left corner of the figure."""

    left: float
    bottom: float
    right: float
    top: float

    def holds(self, points: _Points) -> int:
        """How many of the points are inside."""
        low, high = (self.left, self.bottom), (self.right, self.top)
        return int(((points >= low) & (points <= high)).all(axis=1).sum())

    def meets(self, other: _Box) -> bool:
        """Whether two labels overlap."""
        beside = self.right < other.left or other.right < self.left
        return not (beside or self.top < other.bottom or other.top < self.bottom)


def name_coinciding(axes: Any, names: list[str], colour: str) -> list[list[str]]:
    """Writes the names of curves that lie on top of each other beside them.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Axes whose limits and layout are final.
    names : list of str
        Labels of the lines that are compared.
    colour : str
        Colour of the labels.

    Returns
    -------
    list of list of str
        The names of each label.
    """
    scale = 72 / axes.figure.dpi
    lines = {line.get_label(): line for line in axes.get_lines() if line.get_label() in names}
    curves = {
        name: axes.transData.transform(np.asarray(line.get_xydata(), np.float64)) * scale
        for name, line in lines.items()
    }
    edges = axes.get_window_extent().extents * scale
    inside = _Box(*edges)
    drawn = [
        line.get_transform().transform(np.asarray(line.get_xydata(), np.float64)) * scale
        for line in axes.get_lines()
    ]
    taken: list[_Box] = []
    groups = _groups(curves, inside.bottom + _FLOOR)
    dense = np.concatenate([np.empty((0, 2)), *map(_dense, drawn)])
    for group in groups:
        spots = _shared(group, curves, inside.bottom + _FLOOR)
        rest = [_dense(curve) for name, curve in curves.items() if name not in group]
        at, box = _best_place(spots, group, dense, np.concatenate([_AFAR, *rest]), inside, taken)
        taken.append(box)
        middle = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        note = axes.annotate(
            "\n".join(group),
            xy=at,
            xycoords="figure points",
            xytext=middle,
            textcoords="figure points",
            fontsize=_FONT,
            color=colour,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": colour, "shrinkB": 2},
        )
        note.set_in_layout(False)
    return groups


def _dense(curve: _Points) -> _Points:
    """Points on a curve, `_STEP` apart."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    places = np.linspace(0, along[-1], min(int(along[-1] / _STEP) + 2, _MOST))
    return np.stack([np.interp(places, along, curve[:, axis]) for axis in (0, 1)], axis=1)


def _distance(points: _Points, curve: _Points) -> NDArray[np.float64]:
    """From each point to the nearest point of a curve."""
    if len(curve) == 1:
        return np.asarray(np.linalg.norm(points - curve[0], axis=1))
    start, along = curve[:-1], np.diff(curve, axis=0)
    length = np.maximum(np.square(along).sum(axis=1), 1e-12)
    share = ((points[:, None] - start) * along).sum(axis=2) / length
    foot = start + np.clip(share, 0, 1)[..., None] * along
    return np.asarray(np.linalg.norm(points[:, None] - foot, axis=2).min(axis=1))


def _above(curve: _Points, floor: float) -> _Points:
    return curve[curve[:, 1] >= floor]


def _overlap(one: _Points, other: _Points, floor: float) -> float:
    """The share of one curve that lies on the other, the smaller of both shares."""
    shares = []
    for points, curve in ((one, other), (other, one)):
        above = _above(points, floor)
        shares.append((_distance(above, curve) <= _CLOSE).mean() if len(above) else 0.0)
    return float(min(shares))


def _groups(curves: dict[str, _Points], floor: float) -> list[list[str]]:
    """Curves that lie on top of each other for at least half of their length.

    Each curve is in at most one group. The curves that overlap most are joined first, and all
    curves of a group overlap each other.
    """
    overlap = {
        frozenset((one, other)): _overlap(curves[one], curves[other], floor)
        for one, other in combinations(curves, 2)
    }
    group = {name: [name] for name in curves}
    for pair in sorted(overlap, key=lambda pair: -overlap[pair]):
        one, other = (group[name] for name in curves if name in pair)
        if one is other or overlap[pair] < _SHARE:
            continue
        if all(overlap[frozenset(cross)] >= _SHARE for cross in product(one, other)):
            one += other
            group |= dict.fromkeys(other, one)
    distinct = {id(names): names for names in group.values()}
    return [names for names in distinct.values() if len(names) > 1]


def _shared(group: list[str], curves: dict[str, _Points], floor: float) -> _Points:
    """Points of the first curve of a group that lie on all others."""
    points = _above(curves[group[0]], floor)
    far = [_distance(points, curves[name]) for name in group[1:]]
    worst = np.max(far, axis=0)
    near = points[worst <= _CLOSE]
    return near if len(near) else points[[int(np.argmin(worst))]]


def _best_place(
    spots: _Points,
    group: list[str],
    dense: _Points,
    rest: _Points,
    inside: _Box,
    taken: list[_Box],
) -> tuple[_Points, _Box]:
    """The place that a label points to, and the place where it covers the least.

    Parameters
    ----------
    spots : ndarray, (n, 2)
        Places where the curves of the group coincide.
    group : list of str
        The lines of the label.
    dense, rest : ndarray, (n, 2)
        Points on all curves, and on those outside of the group.
    inside : _Box
        The axes.
    taken : list of _Box
        Labels that already have a place.
    """
    half = np.array([max(map(len, group)) * _LETTER[0], len(group) * _LETTER[1]]) * _FONT / 2
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    found: list[tuple[float, int, _Points, _Points, _Box]] = []
    for at, away, turn in product(spots[:: max(1, len(spots) // 12)], _AWAY, turns):
        direction = np.array([np.cos(turn), np.sin(turn)])
        # From the curve to the edge of the label, not to its middle.
        middle = at + direction * (away + np.abs(direction) @ half)
        box = _Box(*(middle - half), *(middle + half))
        outside = (
            box.left < inside.left + _MARGIN
            or box.bottom < inside.bottom + _MARGIN
            or box.right > inside.right - _MARGIN
            or box.top > inside.top - _MARGIN
        )
        near = float(np.linalg.norm(rest - at, axis=1).min())
        cost = (
            10 * box.holds(dense)
            + 4 * max(0.0, _APART - near)
            + away / 20
            + 1000 * outside
            + 500 * sum(box.meets(other) for other in taken)
        )
        found.append((cost, len(found), at, middle, box))

    def crossed(place: tuple[float, int, _Points, _Points, _Box]) -> float:
        cost, _, at, middle, _ = place
        leader = at + np.linspace(0.3, 1, 8)[:, None] * (middle - at)
        far = np.linalg.norm(leader[:, None] - dense, axis=2).min(axis=1)
        return cost + 8 * int((far < _STEP).sum())

    # Only the best places are checked for leaders that cross other curves.
    best = min(sorted(found, key=lambda place: place[:2])[:200], key=crossed)
    return best[2], best[4]
