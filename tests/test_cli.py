"""One line and the right exit code for everything that can go wrong before and around a verb."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from foveal import cli
from foveal.errors import ConfigWarning, DataError, DiskError, Interrupted
from foveal.exits import READER_GONE
from foveal.version import __version__


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Runs the command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["foveal", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.err.startswith("foveal: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("foveal: ").rstrip()


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """``foveal config schema`` is made to fail with this error."""

    def fail() -> str:
        raise error

    monkeypatch.setattr("foveal.config.schema.json_schema", fail)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("trian", "No such command 'trian'. Did you mean 'train'?; see foveal --help"),
        ("--nope", "No such option: --nope; see foveal --help"),
        ("predict", "Missing argument 'checkpoint'; see foveal predict --help"),
        ("train a.yaml --seed x", "Invalid value for '--seed': "),
        ("predict a b --score-thresh 1.5", "Invalid value for '--score-thresh': "),
        ("config show a.yaml --classes 0", "Invalid value for '--classes': "),
        ("train --show-batch", "Invalid value: --show-batch needs a config; see foveal"),
        ("train missing.yaml", "missing.yaml: no such file"),
        ("train", "which config? foveal train CONFIG.yaml"),
        ("train --resume nowhere", "nowhere: not a run folder"),
        ("config show missing.yaml", "missing.yaml: no such file"),
        ("evaluate /dev/null --backend x", "backend 'x' is not known; use torch, onnxruntime, openvino"),
        ("export a --to tflite", "Invalid value for '--to': "),
        ("evaluate /dev/null --precision int8", "backend torch cannot run in int8; take --backend openvino"),
    ],
)
def test_wrong_use_is_one_line_and_2(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments.split()) == 2
    assert one_line(capsys).startswith(said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("config",)])
def test_nothing_asked_for_shows_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert "Commands" in captured.out
    assert captured.err == ""


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("init nowhere", 3),
        ("evaluate missing.safetensors", 4),
        ("predict best missing.jpg", 3),
        ("train --from missing.safetensors missing.yaml", 2),
    ],
)
def test_missing_things(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments.split()) == code
    assert "no " in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("no pictures"), 3, "no pictures"),
        (DiskError("full"), 5, "full"),
        (Interrupted("stopped at step 3", signal.SIGTERM), 143, "stopped at step 3"),
        (Interrupted("stopped at step 4", signal.SIGINT), 130, "stopped at step 4"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "x.json"), 5, "x.json: Permission denied"),
        (
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"),
            2,
            "out of memory: ask for less at a time",
        ),
        (RuntimeError("CUDA error: out of memory"), 2, "out of memory: ask for less at a time"),
        (ZeroDivisionError("one\ntwo"), 1, "a bug of Foveal's: ZeroDivisionError: one (see it whole with"),
        (OSError("odd"), 1, "a bug of Foveal's: OSError: odd"),
    ],
)
def test_errors_of_a_verb(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    failing(monkeypatch, error)
    assert run(monkeypatch, "config", "schema") == code
    assert one_line(capsys).startswith(said)


def test_debug_shows_the_traceback_and_keeps_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, DataError("no pictures"))
    assert run(monkeypatch, "config", "schema", "--debug") == 3
    text = capsys.readouterr().err
    assert text.startswith("Traceback")
    assert text.endswith("foveal.errors.DataError: no pictures\n")


def test_warnings_of_ours_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn() -> str:
        warnings.warn("look at a.yaml:3", ConfigWarning, stacklevel=1)
        warnings.warn("of another package", UserWarning, stacklevel=1)
        return "{}"

    monkeypatch.setattr("foveal.config.schema.json_schema", warn)
    others: list[str] = []

    def show(message: Warning | str, *_: object) -> None:
        others.append(str(message))

    monkeypatch.setattr(warnings, "filters", [("always", None, Warning, None, 0)])
    monkeypatch.setattr(warnings, "showwarning", show)
    assert run(monkeypatch, "config", "schema") == 0
    assert one_line(capsys) == "warning: look at a.yaml:3"
    assert others == ["of another package"]
    assert warnings.showwarning is show


PROGRAM = "import sys; sys.argv[0] = 'foveal'; from foveal.cli import main; main()"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_reader_that_has_gone_is_no_fault() -> None:
    process = start("--help")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == READER_GONE
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


REFUSED = [
    ("train nosuch.yaml", 2, "nosuch.yaml: no such file"),
    ("train folder", 2, "folder: is a folder"),
    (
        "train folder/run",
        2,
        "folder/run: is a run's folder: foveal train --resume folder/run goes on with it",
    ),
    ("train best.safetensors", 2, "best.safetensors: weights, not a configuration"),
    ("train good.yaml epochs", 2, "override 'epochs': write it as key.sub=value"),
    ("train good.yaml training.epoch=2", 2, "override training.epoch=2: unknown key 'epoch'"),
    ("train bad.yaml", 2, "bad.yaml:1: unknown key 'imgae_size'"),
    ("train good.yaml --resume folder", 2, "--resume takes the run's own config"),
    ("train good.yaml --from nosuch.safetensors", 4, "nosuch.safetensors: no such file"),
    ("train --replay nosuch.pt", 2, "nosuch.pt: no such file"),
    ("doctor nosuch", 3, "nosuch: no such folder or file"),
    ("doctor bad.yaml", 2, "bad.yaml:1: unknown key 'imgae_size'"),
    ("doctor folder --overfit", 2, "folder: is a folder"),
    ("doctor nosuch.yaml --fit-anchors", 2, "nosuch.yaml: no such file"),
    ("init nosuch", 3, "nosuch: no such folder or file"),
    ("evaluate nosuch.safetensors", 4, "nosuch.safetensors: no such file"),
    ("evaluate folder", 4, "folder: a folder; name a file in it"),
    ("evaluate best.safetensors --data nosuch.yaml", 2, "nosuch.yaml: no such file"),
    ("evaluate best.safetensors --data nosuch", 3, "nosuch: no such folder or file"),
    ("predict nosuch.safetensors good.yaml", 4, "nosuch.safetensors: no such file"),
    ("predict best.safetensors *.jpg", 3, "*.jpg: no picture there"),
    ("predict best.safetensors nosuch.jpg", 3, "nosuch.jpg: no such file or folder"),
    ("export nosuch.safetensors", 4, "nosuch.safetensors: no such file"),
    ("export folder --to openvino", 4, "folder: a folder; name a file in it"),
    ("export best.safetensors --data nosuch.yaml", 2, "nosuch.yaml: no such file"),
    ("export best.safetensors --pictures nosuch", 3, "nosuch: no such file or folder"),
    ("export best.safetensors --int8 --calibration nosuch", 3, "nosuch: no such file or folder"),
    ("report nosuch", 2, "nosuch: no such folder"),
    ("convert nosuch.pth", 4, "nosuch.pth: no such file"),
    ("lab --data nosuch.yaml", 2, "nosuch.yaml: no such file"),
    ("config show nosuch.yaml", 2, "nosuch.yaml: no such file"),
]


def test_what_cannot_be_is_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("data: {train: {format: shapes}}\n")
    (tmp_path / "bad.yaml").write_text("data: {train: {format: shapes}, imgae_size: [64, 64]}\n")
    (tmp_path / "best.safetensors").write_bytes(b"\0" * 9)
    (tmp_path / "folder" / "run").mkdir(parents=True)
    (tmp_path / "folder" / "run" / "config.yaml").write_text("data: {train: {format: shapes}}\n")
    program = (
        "import sys; from foveal import cli; from foveal.exits import command; command.end = sys.exit\n"
        "class Without:\n"
        "    def find_spec(self, name, *_):\n"
        "        assert name.partition('.')[0] not in ('torch', 'numpy', 'timm'), name\n"
        "sys.meta_path.insert(0, Without())\n"
        f"for line in {[line for line, *_ in REFUSED]!r}:\n"
        "    sys.argv[1:] = line.split()\n"
        "    try: cli.main()\n"
        "    except SystemExit as end: print(end.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    said = done.stderr.splitlines()
    assert len(said) == len(REFUSED), done.stderr
    for (line, code, words), given, text in zip(REFUSED, done.stdout.split(), said, strict=True):
        assert (int(given), text[: len(words) + 8]) == (code, f"foveal: {words}"), line


def test_the_command_starts_without_torch() -> None:
    program = "import sys, foveal.cli; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    environment = {**os.environ, "PYTHONWARNINGS": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "[]\n"
