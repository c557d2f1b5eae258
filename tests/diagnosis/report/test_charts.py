"""Values land where they should: read back from the SVG by the chart's own axis marks."""

from __future__ import annotations

import operator
import re
from importlib.resources import files
from itertools import combinations
from math import dist
from xml.etree import ElementTree

import pytest

from foveal.diagnosis.report.charts.bars import MOST_LETTERS, Bar, Steps, bar_chart, histogram
from foveal.diagnosis.report.charts.heat import heat_map
from foveal.diagnosis.report.charts.lines import MOST_POINTS, Line, line_chart, thin
from foveal.diagnosis.report.charts.scale import Scale, fit_scale, short
from foveal.diagnosis.report.charts.svg import Figure, element

Element = ElementTree.Element


def parse(figure: Figure) -> Element:
    return ElementTree.fromstring(str(figure.svg))


def of_class(root: Element, name: str, tag: str | None = None) -> list[Element]:
    return [
        node
        for node in root.iter()
        if name in node.get("class", "").split() and (tag is None or node.tag == tag)
    ]


def axis(root: Element, name: str, place: str) -> tuple[float, float]:
    """(value per pixel, value at pixel 0), from two tick labels."""
    ticks = [
        (float(node.get(place, "")), float("".join(node.itertext()).replace(",", "")))
        for node in of_class(root, "tick")
        if name in node.get("class", "").split()
    ]
    (p, a), (q, b) = ticks[0], ticks[-1]
    return (b - a) / (q - p), a - (b - a) / (q - p) * p


def drawn(root: Element, path: Element) -> list[tuple[float, float]]:
    """A curve in its own values."""
    (sx, ox), (sy, oy) = axis(root, "x", "x"), axis(root, "y", "y")
    pairs = re.findall(r"[ML]([\d.]+) ([\d.]+)", path.get("d", ""))
    return [(sx * float(x) + ox, sy * (float(y) - 3.5) + oy + 3.5 * sy) for x, y in pairs]


def test_a_line_goes_through_its_values() -> None:
    points = [(0.0, 0.0), (50.0, 20.0), (100.0, 5.0), (200.0, 40.0)]
    root = parse(line_chart("x", [Line("a", points, 0)], "step", (0.0, None)))
    [path] = of_class(root, "line", "path")
    # Labels stand 3.5 px under their lines.
    scale = axis(root, "y", "y")[0]
    found = [(x, y - 3.5 * -scale) for x, y in drawn(root, path)]
    assert [x for x, _ in found] == pytest.approx([0, 50, 100, 200], abs=0.5)
    assert [y for _, y in found] == pytest.approx([0, 20, 5, 40], abs=0.3)


def test_a_value_that_is_not_finite_breaks_the_line() -> None:
    points = [(0.0, 1.0), (1.0, 2.0), (2.0, float("nan")), (3.0, float("inf")), (4.0, 2.0), (5.0, 1.0)]
    root = parse(line_chart("x", [Line("a", points, 0)], "step"))
    [path] = of_class(root, "line", "path")
    assert re.findall("[ML]", path.get("d", "")) == ["M", "L", "M", "L"]
    assert "nan" not in ElementTree.tostring(root, encoding="unicode")


@pytest.mark.parametrize(
    "points", [[], [(3.0, float("nan"))], [(3.0, 0.0)], [(3.0, 7.0)], [(0.0, -1e9), (1.0, 1e9)]]
)
def test_odd_curves_still_make_a_chart(points: list[tuple[float, float]]) -> None:
    parse(line_chart("x", [Line("a", points, 0)], "step", log=None))


def test_one_huge_value_asks_for_powers_of_ten() -> None:
    points = [(float(step), value) for step, value in enumerate([1000.0, 1.0, 0.9, 0.8])]
    figure = line_chart("x", [Line("a", points, 0)], "step", log=None)
    assert "Logarithmic" in figure.note
    ticks = [float("".join(node.itertext()).replace(",", "")) for node in of_class(parse(figure), "y")]
    assert {1.0, 10.0, 100.0, 1000.0} <= set(ticks)


def test_thinning_keeps_ends_and_peaks() -> None:
    points = [(float(step), 0.0) for step in range(10_000)]
    points[4321] = (4321.0, 9.0)
    kept = thin(points)
    assert len(kept) <= MOST_POINTS
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert (4321.0, 9.0) in kept
    assert kept == sorted(kept)


def test_bars_are_as_long_as_their_values() -> None:
    root = parse(bar_chart("x", [Bar("a", [25.0]), Bar("b", [50.0]), Bar("c", [None])], ["run"]))
    widths = [float(node.get("width", "")) for node in of_class(root, "bar")]
    assert len(widths) == 2
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert ["".join(node.itertext()) for node in of_class(root, "value")] == ["25.0", "50.0", "-"]


def test_whiskers_span_their_interval() -> None:
    root = parse(bar_chart("x", [Bar("a", [50.0], [(40.0, 60.0)])], ["run"], high=100.0))
    [bar], [whisker] = of_class(root, "bar"), of_class(root, "whisker")
    zero, width = float(bar.get("x", "")), float(bar.get("width", ""))
    low, high = (float(x) for x in re.findall(r"^M([\d.]+) [\d.]+H([\d.]+)", whisker.get("d", ""))[0])
    assert (low - zero) / width * 50 == pytest.approx(40, abs=0.5)
    assert (high - zero) / width * 50 == pytest.approx(60, abs=0.5)
    assert "95 % interval 40.0 to 60.0" in "".join(bar.itertext())


def test_the_height_of_a_histogram_is_its_count() -> None:
    root = parse(histogram("x", ["1", "2", "4", "8"], [Steps("all", [10.0, 0.0, 40.0], 0)], "px"))
    [outline] = of_class(root, "line", "path")
    heights = [float(y) for y in re.findall(r"V([\d.]+)H", outline.get("d", ""))]
    assert (heights[1] - heights[0]) * 4 == pytest.approx(heights[1] - heights[2], rel=0.01)


def test_a_heat_map_colours_shares_and_writes_counts() -> None:
    figure = heat_map("x", ["a", "b"], ["a", "b"], [[3.0, 1.0], [0.0, 8.0]], "detected", "labelled")
    root = parse(figure)
    shares = [float(node.get("fill-opacity", "")) for node in of_class(root, "heat")]
    assert shares == pytest.approx([0.6, 0.2, 0.0, 0.8])
    assert ["".join(node.itertext()) for node in of_class(root, "cell")] == ["3", "1", "8"]
    assert "a as b: 1" in root.get("aria-label", "")


def test_long_names_are_cut_and_shown_whole_by_a_tooltip() -> None:
    name = "w" * 500
    root = parse(bar_chart("x", [Bar(name, [1.0])], ["run"]))
    [label] = of_class(root, "name")
    assert label.findtext("title") == name
    assert (label[0].tail or "").endswith("w…")
    assert len(label[0].tail or "") <= MOST_LETTERS


def test_markup_in_names_is_text() -> None:
    evil = "</svg><script>alert(1)</script>\"'&"
    root = parse(bar_chart(evil, [Bar(evil, [1.0], (), evil)], [evil, evil]))
    assert not [node for node in root.iter() if "script" in str(node.tag)]
    assert evil in root.get("aria-label", "")
    assert str(element("a", "<b>", x='"')) == '<a x="&#34;">&lt;b&gt;</a>'


# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as protanopes, deuteranopes and tritanopes see it.
EYES = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
)


def linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def oklab(rgb: list[float]) -> tuple[float, float, float]:
    """Ottosson 2020."""
    red, green, blue = rgb
    cones = (
        0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue,
        0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue,
        0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue,
    )
    a, b, c = (max(cone, 0.0) ** (1 / 3) for cone in cones)
    return (
        0.2104542553 * a + 0.7936177850 * b - 0.0040720468 * c,
        1.9779984951 * a - 2.4285922050 * b + 0.4505937099 * c,
        0.0259040371 * a + 0.7827717662 * b - 0.8086757660 * c,
    )


@pytest.mark.parametrize("scheme", [0, 1])
def test_runs_can_be_told_apart_by_every_eye(scheme: int) -> None:
    style = (files("foveal.diagnosis.report") / "templates" / "page.css").read_text()
    colours = re.findall(r"--c\d: (#[0-9a-f]{6})", style)[8 * scheme : 8 * scheme + 8]
    paper = linear(re.findall(r"--paper: (#[0-9a-f]+)", style)[scheme].ljust(7, "f"))
    assert len(set(colours)) == 8
    for eye in EYES:
        seen = [oklab([sum(map(operator.mul, row, linear(c))) for row in eye]) for c in colours]
        for i, j in combinations(range(8), 2):
            assert dist(seen[i], seen[j]) > (0.16 if j < 4 else 0.085), (scheme, colours[i], colours[j])
    for colour in colours:
        light, dark = sorted((luminance(linear(colour)), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 3, (scheme, colour)


def luminance(rgb: list[float]) -> float:
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 100.0, [0, 20, 40, 60, 80, 100]),
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 0.0021, [0, 0.0005, 0.001, 0.0015, 0.002]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert Scale(low, high, 0, 1).ticks() == pytest.approx(ticks)


def test_scales_hold_their_values() -> None:
    scale = fit_scale([3.0, 47.0], 200, 0)
    assert scale.low <= 3
    assert scale.high >= 47
    assert fit_scale([5.0, 5.0], 200, 0).high > 5
    assert fit_scale([0.001, 1000.0], 200, 0, log=True)(1.0) == pytest.approx(100)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (1234, "1,234"),
        (25_000, "25k"),
        (3.2e6, "3.2M"),
        (1e-5, "1e-5"),
        (-2.5, "-2.5"),
    ],
)
def test_numbers_for_an_axis(value: float, words: str) -> None:
    assert short(value) == words
