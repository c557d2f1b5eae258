"""Every exit code of docs/reliability.md, by the command as it is; ``test_bad_input`` has those of signals."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ENDINGS = [
    (0, "--version", r"\d"),
    (0, "config schema", r"\{"),
    (2, "trian", "No such command"),
    (2, "train TINY training.batch_sise=4", "unknown key 'batch_sise'"),
    (2, "train TINY training.precision=16-mixed", "needs a CUDA device"),
    (2, "train --resume nowhere", "not a run folder"),
    (3, "train TINY data.train.annotations=nowhere.json", "nowhere.json"),
    (3, "predict MODEL empty", "empty"),
    (3, "predict MODEL broken.png PICTURES --strict", "broken.png"),
    (3, "doctor nowhere", "no such folder or file"),
    (4, "predict FLIPPED PICTURES", "damaged, its SHA-256 does not fit"),
    (4, "evaluate FLIPPED", "damaged, its SHA-256 does not fit"),
    (4, "export FLIPPED", "damaged, its SHA-256 does not fit"),
    (4, "train TINY --from FLIPPED", "damaged, its SHA-256 does not fit"),
    (4, "train --resume FLIPPED_RUN", r"last\.ckpt: damaged .*the run cannot be resumed"),
    (4, "train --replay FLIPPED_RUN/bad_batch.pt", "damaged, or not a saved batch"),
    (5, "train TINY -o MODEL/runs", "cannot be written"),
    (5, "predict MODEL PICTURES -o MODEL/found", "cannot be written|Not a directory"),
    (6, "train TINY training.max_steps=40 RATE", "10 steps in a row without finite losses"),
]
"""Exit code, command, what its line says."""
SIGNALS = {130, 143}
RATE = ("training.optimizer={name: sgd, lr_per_16: 1.0e+25}", "training.schedule={name: constant}")


@pytest.fixture(scope="module")
def place(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands are given."""
    folder = tmp_path_factory.mktemp("endings")
    content = bytearray(trained.best.read_bytes())
    content[-1000] ^= 1
    (folder / "flipped.safetensors").write_bytes(content)
    (folder / "empty").mkdir()
    (folder / "broken.png").write_bytes(b"no picture")
    run = folder / "runs" / "flipped"
    shutil.copytree(trained.folder, run)
    for file in (run / "resume").iterdir():
        state = bytearray(file.read_bytes())
        state[len(state) // 2] ^= 1
        file.write_bytes(state)
    shutil.copy(file, run / "bad_batch.pt")
    return folder


@pytest.mark.parametrize(("code", "words", "said"), ENDINGS)
def test_ending(command: Any, place: Path, trained: Any, code: int, words: str, said: str) -> None:
    stands_for = {
        "TINY": trained.config, "MODEL": trained.best, "PICTURES": trained.data / "images",
        "FLIPPED_RUN": "runs/flipped", "FLIPPED": "flipped.safetensors",
    }  # fmt: skip
    arguments = words.split()
    for name, value in stands_for.items():
        arguments = [re.sub(rf"\b{name}\b", str(value), word) for word in arguments]
    if arguments[-1] == "RATE":
        arguments[-1:] = [*RATE, "--name", "diverged"]
    done = command(*arguments, folder=place)
    assert done.code == code, done.err
    assert re.search(said, done.err if code else done.out), done.err
    lines = [line for line in done.err.splitlines() if not line.startswith("foveal: warning: ")]
    if code and "--strict" not in words:
        assert len(lines) == 1, done.err
    assert "Traceback" not in done.err


def test_a_bug_of_ours() -> None:
    program = (
        "import sys, foveal.config.schema as room; room.json_schema = None\n"
        "from foveal.cli import main; sys.argv[1:] = ['config', 'schema']; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(
        r"foveal: a bug of Foveal's: TypeError: .* \(see it whole with --debug\)\n", done.stderr
    )


def test_the_document_names_these() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = text[text.index("## Exit codes") :]
    rows = re.findall(r"^\| (\d[\d, ]*) \|", table, re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(",")} == {
        *(code for code, *_ in ENDINGS), 1, *SIGNALS
    }  # fmt: skip
