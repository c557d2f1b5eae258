"""Sections -> one HTML text that needs nothing else: no script, no request, no file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from foveal.diagnosis.page_policy import page_policy
from foveal.diagnosis.report.blocks import Item, Section
from foveal.diagnosis.report.charts.svg import Key, series_style
from foveal.version import __version__

GENERATOR = "foveal report"
"""``<meta name="generator">`` begins with it: by this a page of ours is known again."""
TEMPLATE, STYLE = "page.html.jinja", "page.css"


class Headline(NamedTuple):
    """The top of the page."""

    title: str
    verdict: str
    advice: Sequence[Item]
    figures: Sequence[tuple[str, str, str]]
    """(value, name, note) of the few numbers that say most."""
    runs: Sequence[str]
    """Names, in the order of their colours."""
    written: str
    """When, for the foot of the page."""


def render(headline: Headline, sections: Sequence[Section]) -> str:
    """The page. Every text is escaped; only the charts' own elements are taken as they are."""
    folder = files("foveal.diagnosis.report") / "templates"
    style = (folder / STYLE).read_text(encoding="utf-8")
    environment = Environment(
        loader=DictLoader({TEMPLATE: (folder / TEMPLATE).read_text(encoding="utf-8")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    runs = [Key(name, f"bar {series_style(place)}") for place, name in enumerate(headline.runs)]
    return environment.get_template(TEMPLATE).render(
        head=headline,
        sections=sections,
        runs=runs,
        style=Markup(style),  # our own file
        policy=Markup(page_policy(style)),  # no names in it
        generator=f"{GENERATOR} {__version__}",
        version=__version__,
    )
