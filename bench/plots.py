"""Plots of what was measured, as SVG."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.harness import Case, wants

matplotlib.rcParams["svg.hashsalt"] = "library-server"  # the same figures make the same file
_SIZED = re.compile(r"(?:(?P<what>.*), )?(?P<rows>[\d,]+) rows")
_REACHED, _MISSED = "#2b7a4b", "#b5432a"


def plot_ratios(cases: Sequence[Case], path: Path) -> None:
    """A bar for each thing wanted: past 1 it is reached, whichever way it is counted."""
    found = list(reversed(wants(cases)))
    if not found:
        return
    figure = Figure(figsize=(10, 1 + 0.28 * len(found)), layout="constrained")
    axes = figure.subplots()
    reached = [want.bound / want.ratio(case) if want.at_most else want.ratio(case) / want.bound for case, want in found]
    colours = [_REACHED if each >= 1 else _MISSED for each in reached]
    axes.barh(range(len(found)), reached, color=colours)
    axes.set_yticks(range(len(found)), [f"{case.name}: {want.of} / {want.against}" for case, want in found])
    axes.set_ylim(-1, len(found))
    for place, each in enumerate(reached):
        axes.text(each, place, f" {each:.2f}", va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("what was reached, divided by what was wanted")
    axes.tick_params(axis="y", labelsize=8)
    figure.savefig(path, metadata={"Date": None})


def plot_rows(cases: Sequence[Case], path: Path) -> None:
    """Time against rows, of cases whose candidates are sizes of the library; broken lines are what they are held to."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    colours = itertools.cycle(matplotlib.colormaps["tab10"].colors)
    for case in cases:
        lines: dict[str, list[tuple[int, float]]] = {}
        for name in case.figures:
            if sized := _SIZED.fullmatch(name):
                lines.setdefault(sized["what"] or "", []).append(
                    (int(sized["rows"].replace(",", "")), case.median(name))
                )
        colour = next(colours) if lines else ""
        for what, points in lines.items():
            rows, medians = zip(*sorted(points), strict=True)
            axes.plot(rows, medians, "--" if what else "-", marker=".", color=colour, label=None if what else case.name)
    if axes.lines:
        axes.set(xscale="log", yscale="log", xlabel="rows of the library", ylabel="milliseconds")
        axes.set_title("unbroken: the server; broken: plain statements", fontsize=9)
        axes.legend(fontsize=8)
        figure.savefig(path, metadata={"Date": None})
