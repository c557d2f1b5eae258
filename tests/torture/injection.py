"""S12: hostile names of classes, pictures, runs and models, through the real commands, in a real browser.

A detector is trained on a data set whose class and file names are markup, scripts, templates and marks that turn
the direction of text; its report, the doctor's page, the page of ``foveal serve`` and that of ``foveal web`` are
opened in Chromium and used. A page without any protection shows first that an alert would be seen.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from attacks.addresses import listening
from attacks.browser import Watched, chromium
from attacks.hostile_set import CLASSES, FILES, write_set
from attacks.server import serving
from forked import process
from frame import FOVEAL, Place, Verdict

from foveal.diagnosis.report.plain import clean

HOSTILE = "<img src=x onerror=alert(7)>"
UNTIL_SHOWN = 40
"""Letters of a name that must stand on a page: long ones are cut."""
PORT = re.compile(r"port (\d+)")


class Opened(NamedTuple):
    """What came of one page."""

    name: str
    policy: str
    missing: list[str]
    """Names that are not on it as text."""


def run(place: Place) -> Verdict:
    """S12 whole."""
    return look(place, make(place.work))


def look(place: Place, made: Path) -> Verdict:
    """At all pages. made: the run's folder."""
    pages: list[Opened] = []
    own_place = place._replace(model=made / "best.safetensors", pictures=place.work / "data" / "images")
    with serving(own_place) as (server, _), file_server(place.work / "site") as site, chromium() as browser:
        control = Watched(browser)
        control.page.set_content(f"<body>{HOSTILE}</body>")
        control.page.wait_for_timeout(500)
        watched = [
            file_page(browser, made / "report.html", pages),
            file_page(browser, place.work / "doctor.html", pages),
            live_page(browser, f"http://127.0.0.1:{server.port}/", "serve", pages),
            live_page(browser, site, "web", pages),
        ]
        bound = {address for pid in server.family() for address in listening(pid)}
    seen = [line for one in watched for line in one.seen]
    missing = [f"{page.name}: {name}" for page in pages for name in page.missing]
    loose = [page.name for page in pages if not strict(page)]
    print(*(f"{page.name}: {page.policy}" for page in pages), *seen, *missing, sep="\n", flush=True)
    kept = not seen and not missing and not loose and bound == {"127.0.0.1"} and control.dialogs == 1
    kinds = {
        kind: sum(line.startswith(kind) for line in seen) for kind in ("dialog", "request", "policy", "error")
    }
    return Verdict(
        kept,
        f"{len(CLASSES)} class and {len(FILES)} file names on {len(pages)} pages: {kinds['dialog']} dialogs, "
        f"{kinds['request']} requests to others, {kinds['policy']} violations of the policy, {kinds['error']} "
        f"errors, {len(missing)} names not shown as text; policies too loose: {len(loose)}; the server listens on "
        f"{', '.join(sorted(bound))}; an unprotected page: {control.dialogs} dialog",
    )


def make(work: Path) -> Path:
    """All that is to be opened, made by the commands themselves -> the run's folder, with a hostile name."""
    config = write_set(work)
    command(work, "train", config.name, "--name", "hostile")
    folder = (work / "runs" / "hostile").rename(work / "runs" / HOSTILE)
    command(work, "report", folder)
    command(work, "doctor", config.name, "--html", "doctor.html", code=3)
    model = f"{HOSTILE}.onnx"
    command(work, "export", folder / "best.safetensors", "-o", model, "--pictures", "5", "--licence", HOSTILE)
    samples = [word for name in FILES[:2] for word in ("--sample", work / "data" / "images" / name)]
    command(work, "web", model, "-o", "site", *samples)
    return folder


def command(work: Path, *words: object, code: int = 0) -> None:
    """A command of Foveal that must end as it should."""
    done = process([*FOVEAL, *words], work)
    if done.code != code:
        raise RuntimeError(f"foveal {words[0]} ended with {done.code}: {done.text[-2000:]}")


def file_page(browser: Any, file: Path, pages: list[Opened]) -> Watched:
    """A page that is one file: everything on it unfolded."""
    one = Watched(browser, file.as_uri())
    one.page.goto(one.own)
    one.page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
    one.page.wait_for_timeout(500)
    wanted = [*(name for name in CLASSES), *([HOSTILE] if file.name == "report.html" else FILES[-1:])]
    pages.append(Opened(file.name, one.policy(), one.missing([clean(name)[:UNTIL_SHOWN] for name in wanted])))
    one.end()
    return one


def live_page(browser: Any, address: str, name: str, pages: list[Opened]) -> Watched:
    """The page with a model behind it: every hostile picture and a broken one looked at, every class shown."""
    one = Watched(browser, address)
    one.page.goto(address)
    one.until("!document.querySelector('#about').hidden")
    folder = Path.cwd() / "data" / "images"
    broken = {"name": f"{HOSTILE}.png", "mimeType": "image/png", "buffer": b"no picture"}
    pictures = [
        {"name": file, "mimeType": "image/png", "buffer": (folder / file).read_bytes()} for file in FILES
    ]
    one.page.set_input_files("#choose", [*pictures, broken])
    done = "document.querySelectorAll('#strip [data-state=done], #strip [data-state=failed]').length"
    one.until(f"{done} === {len(FILES) + 1}")
    one.page.fill("#threshold", "0")
    one.page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
    for button in one.page.query_selector_all("#strip button"):
        button.click()
        one.page.wait_for_timeout(50)
    wanted = [name[:UNTIL_SHOWN] for name in (*CLASSES, *FILES, HOSTILE)]
    pages.append(Opened(name, one.policy(), one.missing(wanted)))
    one.end()
    return one


def strict(page: Opened) -> bool:
    """Whether a policy lets in the page's own files alone, and WebAssembly where the model runs in it."""
    allowed = page.policy.replace("'wasm-unsafe-eval'", "") if page.name == "web" else page.policy
    return allowed.startswith("default-src 'none'; ") and "unsafe" not in allowed and "http" not in allowed


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """As ``foveal web`` says to look at a site."""
    words = [
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--directory",
        str(folder),
    ]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        found = PORT.search(server.stdout.readline())
        assert found is not None
        yield f"http://127.0.0.1:{found[1]}/"
    finally:
        server.kill()
        server.wait()
