"""What the page is made of: its own files, no script in the text, no markup from names, one palette."""

from __future__ import annotations

import io
import json
import re

import pytest
from PIL import Image

from foveal.page.files import Engine, Sample, page_files, security_policy
from foveal.runtime.palette import class_colour, text_colour

ENGINES: tuple[Engine, ...] = ("server", "browser")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_file_that_is_named_is_there(engine: Engine) -> None:
    files = page_files(engine)
    # Brought by npm and written from the model.
    later = {"runtime/onnxruntime.js", "runtime/onnxruntime.wasm", "model.json"}
    for path, file in files.items():
        text = file.content.decode("latin-1")
        if path.endswith(".js"):
            named = re.findall(
                r'(?:from|import\(|get\(|given\(|URL\()\s*[("]*\.?/?([\w./-]+\.(?:js|json|wasm))"', text
            )
            missing = {name.removeprefix("./") for name in named} - set(files) - later
            assert not missing, f"{path}: {missing}"
    page = files["index.html"].content.decode()
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert name in files
    assert f'<meta name="engine" content="{engine}">' in page
    assert f"engine_{engine}.js" in files


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_run_that_is_not_a_file_of_the_page(engine: Engine) -> None:
    files = page_files(engine)
    page = files["index.html"].content.decode()
    assert f'content="{security_policy(engine)}"' in page
    assert "{" not in page
    assert re.findall(r"<script(?![^>]* src=)|\son\w+=|style=|<style|javascript:", page) == []
    for path, file in files.items():
        if path.endswith((".js", ".html", ".css")):
            text = file.content.decode()
            found = re.findall(
                r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|https?:|//\w+\.",
                text,
            )
            assert found == [], path


def test_the_policy_lets_in_the_page_alone() -> None:
    policies = {
        engine: dict(part.split(" ", 1) for part in security_policy(engine).split("; ")) for engine in ENGINES
    }
    for policy in policies.values():
        assert policy["default-src"] == "'none'"
        assert "unsafe-inline" not in str(policy)
        assert "'unsafe-eval'" not in str(policy)
    assert policies["server"]["script-src"] == "'self'"
    assert policies["browser"]["script-src"] == "'self' 'wasm-unsafe-eval'"


def test_colours_are_those_of_the_drawn_pictures() -> None:
    colours = json.loads(page_files("server")["palette.json"].content)
    for label in (0, 6, 7, 100, 255):
        assert tuple(bytes.fromhex(colours[label][0][1:])) == class_colour(label)
        assert tuple(bytes.fromhex(colours[label][1][1:])) == text_colour(class_colour(label))


def test_samples_are_generated_or_given() -> None:
    files = page_files("server")
    listed = json.loads(files["samples.json"].content)
    assert len(listed) == 3
    for entry in listed:
        assert Image.open(io.BytesIO(files[entry["file"]].content)).size == (320, 320)
    files = page_files("server", [Sample("../<b>.jpg", b"x", ".jpg")])
    assert json.loads(files["samples.json"].content) == [{"file": "samples/1.jpg", "name": "../<b>.jpg"}]
    assert files["samples/1.jpg"] == (b"x", "image/jpeg")
    assert not [path for path in page_files("server", []) if path.startswith("samples/")]
