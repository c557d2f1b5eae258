"""What docs/serve.md tells people to type works as it stands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def here(text: str, server: Any) -> str:
    """For the server of the tests and its model."""
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}").replace('"bccd"', '"shapes"')
    return text.replace("(320, 416)", "(96, 128)")


@pytest.fixture
def folder(tmp_path: Path, jpeg: bytes) -> Path:
    for name in ("street.jpg", "yard.jpg"):
        (tmp_path / name).write_bytes(jpeg)
    return tmp_path


def test_curl(server: Any, folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]
    counts = []
    for line in lines:
        done = subprocess.run(
            here(line, server), shell=True, cwd=folder, capture_output=True, timeout=120, check=True
        )
        answer = json.loads(done.stdout)
        assert "error" not in answer
        counts.append(len(answer.get("pictures", ())))
    assert counts == [1, 2, 1, 0]


@pytest.mark.filterwarnings("ignore")
def test_python(
    server: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tritonclient.http")
    monkeypatch.chdir(folder)
    plain, triton = blocks("python")
    for block in (plain, triton):
        exec(compile(here(block, server), "docs/serve.md", "exec"), {})  # noqa: S102
    assert "[" in capsys.readouterr().out


def test_every_option_is_told() -> None:
    import typer.main

    from foveal.cli import app

    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    for parameter in command.params:
        for option in parameter.opts:
            assert not option.startswith("--") or option == "--help" or f"`{option}`" in DOCUMENT, option


def test_statuses_are_those_of_the_code() -> None:
    from foveal.serve.answers import WHY

    told = {
        int(status)
        for row in re.findall(r"^\| (\d{3}(?:, \d{3})*) \|", DOCUMENT, re.MULTILINE)
        for status in row.split(", ")
    }
    assert set(WHY) - {500} <= told
