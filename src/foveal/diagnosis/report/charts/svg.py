"""SVG elements, escaped; and how a figure stands on the page."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup, escape

COLOURS = 8
"""Series with a colour of their own; further ones begin again with broken lines."""


class Key(NamedTuple):
    """One entry of a legend."""

    label: str
    style: str
    """CSS classes of its mark."""


class Figure(NamedTuple):
    """A chart with its words."""

    title: str
    svg: Markup
    keys: tuple[Key, ...] = ()
    note: str = ""
    wide: bool = False
    """Takes the page's whole width, and scrolls sideways by itself where that is too little."""


def element(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """``<name attribute="...">children</name>``.

    ``class_`` gives ``class``, ``_`` becomes ``-``, None is left out; texts are escaped, Markup is not.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(child) for child in children)
    return Markup(f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>")


def drawing(width: float, height: float, description: str, *children: Markup, style: str = "") -> Markup:
    """The whole picture; description: what a reader who cannot see it is told."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
        aria_label=description,
        class_=style or None,
    )


def text(x: float, y: float, content: str, style: str = "", anchor: str = "start", most: int = 0) -> Markup:
    """Words at a point; longer ones than ``most`` letters are cut, and shown whole by a tooltip."""
    cut = bool(most) and len(content) > most
    shown = content[: most - 1].rstrip() + "…" if cut else content
    tip = [element("title", content)] if cut else []
    return element(
        "text", *tip, shown, x=x, y=y, class_=style or None,
        text_anchor=None if anchor == "start" else anchor,
    )  # fmt: skip


def series_style(place: int) -> str:
    """CSS classes of the n-th run, class or part: its colour, and a broken line from the ninth on."""
    return f"c{place % COLOURS}" + (f" d{min(place // COLOURS, 3)}" if place >= COLOURS else "")


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(escape(str(value)))
