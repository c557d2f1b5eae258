"""The report as one HTML file: no script, no network, light and dark, narrow and wide.

Every name and message comes from other people's files: all text goes through ``_text``, and the page forbids
itself scripts and addresses (S12).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from foveal.diagnosis.doctor.report import Group, PartSummary, Report
from foveal.diagnosis.doctor.rulebook import RULES
from foveal.diagnosis.doctor.terminal import short
from foveal.diagnosis.doctor.thumbnails import Shown, as_address
from foveal.diagnosis.page_policy import page_policy
from foveal.files import write_text
from foveal.grammar import many
from foveal.version import __version__

ROWS = 200
"""Places of one rule in the page; the CSV has all."""
CLASSES = 60
STYLE = """
:root{color-scheme:light dark;--ink:#22252a;--dim:#5c6470;--page:#fff;--card:#f5f6f8;--line:#dfe2e7;
--error:#b42318;--warning:#8a5a00;--note:#0b6e99;--bar:#8fb8d8}
@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--dim:#a3abb8;--page:#16181c;--card:#1f2228;--line:#363b44;
--error:#ff8a7a;--warning:#f0c060;--note:#7cc7ea;--bar:#35607f}}
*{box-sizing:border-box}body{margin:0 auto;padding:1.2rem;max-width:70rem;color:var(--ink);background:var(--page);
font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}h1{font-size:1.35rem}h2{font-size:1.1rem;margin-top:2rem}
.dim{color:var(--dim)}.error{color:var(--error)}.warning{color:var(--warning)}.note{color:var(--note)}
details{background:var(--card);border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.5rem .8rem}
summary{cursor:pointer}summary b{margin-right:.5rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}
td.number,th.number{text-align:right;white-space:nowrap}
.places td{font-size:.9rem}.places td:first-child{width:38%}
.share{width:50%}.bar{background:var(--bar);display:block;height:.7rem;border-radius:2px;min-width:1px}
.parts{width:auto;max-width:100%}.parts td,.parts th{padding-right:1.6rem}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.8rem}
.two{grid-column:span 2}.two>div{display:grid;grid-template-columns:1fr 1fr;gap:.4rem}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.4rem}
.sheet{max-width:100%;height:auto}
figure img{width:100%;height:auto;display:block;margin-bottom:.2rem}figcaption,figure small{font-size:.8rem}
@media (max-width:40rem){body{padding:.8rem}.parts td,.parts th{padding-right:.6rem}
.places td{display:block;width:100%!important;border:0}.places tr{border-bottom:1px solid
var(--line);display:block}}
"""


def write_page(
    report: Report, shown: Sequence[Shown], path: Path, root: Path, anchors: Image.Image | None = None
) -> None:
    """Write the page. root: folder that is left out of paths. anchors: picture of the boxes they serve worst."""
    write_text(path, page(report, shown, root, anchors).encode(errors="replace").decode())


def page(report: Report, shown: Sequence[Shown], root: Path, anchors: Image.Image | None = None) -> str:
    """The page's text."""
    counts = report.counts()
    verdict = ", ".join(f'<span class="{name}">{many(count, name)}</span>' for name, count in counts.items())
    body = [
        f"<h1>foveal doctor: {_text(report.title)}</h1><p>{verdict}</p>",
        _parts(report.parts),
        *(_section(name, report, root) for name in counts),
        _anchors(report.anchors, anchors),
        _pictures(shown, root),
        *(_classes(part) for part in report.parts if part.classes),
        f'<p class="dim">Foveal {_text(__version__)}. Paths start at {_text(str(root))}.</p>',
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{page_policy(STYLE)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>foveal doctor: {_text(report.title)}</title><style>{STYLE}</style></head>"
    )
    return f"{head}<body>{''.join(body)}</body></html>\n"


def _text(value: object) -> str:
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value)))


def _parts(parts: Sequence[PartSummary]) -> str:
    """A column a part: parts are few, and figures many, so that a narrow screen holds them."""
    figures: tuple[tuple[str, Callable[[PartSummary], object]], ...] = (
        ("pictures", lambda part: part.pictures),
        ("decoded", lambda part: part.decoded),
        ("without boxes", lambda part: part.empty),
        ("boxes", lambda part: part.boxes),
        ("crowds", lambda part: part.crowds),
        ("median box, px", lambda part: round(part.median_side)),
        ("size, px", lambda part: part.sizes),
        ("classes", lambda part: len(part.classes)),
    )
    head = "".join(f"<th>{_text(part.name)}</th>" for part in parts)
    rows = "".join(
        f"<tr><th>{name}</th>{''.join(f'<td>{_text(value(part))}</td>' for part in parts)}</tr>"
        for name, value in figures
    )
    return f'<table class="parts"><tr><td></td>{head}</tr>{rows}</table>'


def _section(severity: str, report: Report, root: Path) -> str:
    groups = [group for group in report.groups() if group.severity == severity]
    if not groups:
        return ""
    blocks = "".join(_group(group, severity != "note", root) for group in groups)
    return f'<h2 class="{severity}">{severity}s</h2>{blocks}'


def _group(group: Group, is_open: bool, root: Path) -> str:
    rule = RULES.get(group.rule)
    rows = "".join(
        f"<tr><td>{_text(short(found.where, root))}</td><td>{_text(short(found.message, root))}</td></tr>"
        for found in group.findings[:ROWS]
    )
    left = len(group.findings) - ROWS
    more = f'<p class="dim">and {left} more: --csv FILE has them all</p>' if left > 0 else ""
    fix = group.findings[0].fix
    advice = f"<p>&rarr; {_text(fix)}</p>" if fix else ""
    return (
        f"<details{' open' if is_open and len(group.findings) <= 10 else ''}><summary>"
        f'<b class="{group.severity}">{len(group.findings)} {_text(group.rule)}</b>'
        f"{_text(rule.means if rule else '')}</summary>{advice}"
        f'<table class="places">{rows}</table>{more}</details>'
    )


def _anchors(lines: Sequence[str], sheet: Image.Image | None) -> str:
    text = "".join(f"<li>{_text(line)}</li>" for line in lines)
    picture = ""
    if sheet is not None:
        alt = "the boxes that the anchors serve worst, each with its best anchor"
        picture = f'<img class="sheet" src="{as_address(sheet)}" alt="{alt}">'
    return f"<h2>Anchors</h2><ul>{text}</ul>{picture}" if lines else ""


def _pictures(shown: Sequence[Shown], root: Path) -> str:
    if not shown:
        return ""
    legend = '<p class="dim">red: the box meant; blue: the others</p>'
    return f'<h2>Pictures</h2>{legend}<div class="pictures">{"".join(_figure(each, root) for each in shown)}</div>'


def _figure(shown: Shown, root: Path) -> str:
    """One picture with the finding's place below it, or two side by side, each with its own."""
    two = len(shown.pictures) > 1
    pictures = "".join(
        f'<div><img src="{_text(each.address)}" alt="{_text(shown.rule)}">'
        f'<small class="dim">{_text(short(each.name if two else shown.where, root))}</small></div>'
        for each in shown.pictures
    )
    kind = "two" if two else "one"
    caption = f"<figcaption><b>{_text(shown.rule)}</b> {_text(short(shown.message, root))}</figcaption>"
    return f'<figure class="{kind}"><div>{pictures}</div>{caption}</figure>'


def _classes(part: PartSummary) -> str:
    most = max(part.classes.values(), default=0) or 1
    rows = "".join(
        f'<tr><td>{_text(name)}</td><td class="number">{count}</td>'
        f'<td class="share"><svg class="bar" width="{100 * count / most:.1f}%"></svg></td></tr>'
        for name, count in list(part.classes.items())[:CLASSES]
    )
    left = len(part.classes) - CLASSES
    more = f'<p class="dim">and {left} more</p>' if left > 0 else ""
    return f"<details><summary>classes of {_text(part.name)}</summary><table>{rows}</table>{more}</details>"
