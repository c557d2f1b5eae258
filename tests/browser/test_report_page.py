"""The report in a real browser: hostile names, both schemes, a narrow screen, print, no network, no script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from foveal.diagnosis.report.writing import write_report

pytestmark = pytest.mark.browser
EVIL = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "]]></style></svg><svg onload=alert(1)>",
    "\u202eright to left\u2066 \u0645\u0631\u062d\u0628\u0627",
    "javascript:alert(1)",
    "w" * 600,
    "a long name of many words " * 20,
    "👩\u200d🚀🐙" * 30,
    "</title><script>alert(2)</script>",
)
CURVE = {"threshold": [0.9, 0.1], "recall": [0.1, 0.9], "precision": [1, 0.4], "f1": [0.2, 0.6]}
CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!colour.endsWith(", 0)")) return parse(colour);
    }
    return [255, 255, 255];
  };
  const worst = {};
  const texts = "p, th, td, li, a, dt, dd, h1, h2, h3, h4, figcaption, code, small, text, summary";
  for (const node of document.querySelectorAll(texts)) {
    if (!node.textContent.trim()) continue;
    const style = getComputedStyle(node);
    const ink = parse(node instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(node))].sort((p, q) => q - p);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) worst[node.tagName + "." + (node.getAttribute("class") || "")] = ratio;
  }
  return worst;
}"""


def make_run(folder: Path, names: tuple[str, ...], sheet: str) -> Path:
    """A run all of whose texts are hostile."""
    (folder / "galleries").mkdir(parents=True)
    steps = "".join(
        f"{step},0,{3 / step},{1 / step},{0.5 * step / 100},{names[0]}\n" for step in range(10, 110, 10)
    )
    (folder / "metrics.csv").write_text("step,epoch,loss,cls,AP,<script>alert(3)</script>\n" + steps)
    size = len(names) + 1
    kinds = ("class", "location", "both", "duplicate", "background", "missed")
    evaluation = {
        "AP": 0.5, "AP50": 0.8, "pictures": 10,
        "per_class": [{"name": name, "boxes": 5, "pictures": 3, "AP": 0.4} for name in names],
        "intervals": {"AP": {"low": 0.4, "high": 0.6}},
        "errors": {"points": dict.fromkeys(kinds, 2.0), "counts": dict.fromkeys(kinds, 3)},
        "confusion": {"names": [*names, None], "counts": [[i * j for j in range(size)] for i in range(size)]},
        "curves": [{"name": name, "boxes": 5, **CURVE} for name in names],
        "findings": [{"rule": "x", "severity": "warning", "message": name, "fix": name} for name in names],
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    config = {"data": {"classes": list(names)}, "training": {"name": names[0], names[1]: names[2]}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    lines = [{"step": 3, "rule": name, "message": name, "fix": name} for name in names]
    (folder / "health.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "environment.json").write_text(json.dumps(dict(zip(names, names, strict=True))))
    Image.new("RGB", (1200, 500), (20, 120, 60)).save(folder / "galleries" / sheet, "JPEG")
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of one hostile run, and one of three."""
    folder = tmp_path_factory.mktemp("hostile")
    sheet = "\"'><img src=x onerror=alert(4)>.jpg"
    names = ["<img src=x onerror=alert(5)>", "\u202eevil ]]> & 'x' \"y\"", "n" * 200]
    runs = [make_run(folder / str(place) / name, EVIL, sheet) for place, name in enumerate(names)]
    return {
        "one": write_report(runs[:1], folder / "one.html", title=EVIL[0] + "x" * 400),
        "three": write_report(runs, folder / "three.html"),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("name", ["one", "three"])
def test_nothing_runs_nothing_is_fetched_nothing_overflows(
    browser: Any, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    seen: list[str] = []
    page.on("dialog", lambda dialog: (seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda message: seen.append(f"console {message.text}"))
    page.on("pageerror", lambda error: seen.append(f"error {error}"))
    address = pages[name].as_uri()
    page.on("request", lambda request: request.url == address or seen.append(f"request {request.url[:200]}"))
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
    assert seen == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.scripts.length") == 0
    sizes = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert sizes
    assert min(sizes) > 0
    assert page.evaluate(CONTRAST) == {}
    for link in page.query_selector_all("nav a"):
        assert page.query_selector(str(link.get_attribute("href"))) is not None
    context.close()


def test_the_style_is_let_in_and_print_shows_what_is_folded(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["one"].as_uri())
    assert page.evaluate("getComputedStyle(document.querySelector('path.line')).strokeWidth") == "2px"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.querySelector('details pre').getBoundingClientRect().height") > 20
    page.close()
