"""S8 whole: checkpoints that run code, given to every command that opens a model. S9 is in ``hostile_reading``."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from forked import COMMAND, Done, forked, foveal, warm
from frame import ROOT, Place, Verdict
from loaders import unsafe_calls
from pickles import MALICIOUS, careless

from foveal import verbs
from foveal.engine.saving import LAST, PREVIOUS
from foveal.runtime.sources import find_pictures

USAGE, MODEL_FILE = 2, 4
WITHOUT_MODEL = {"demo", "init"}
"""Commands that are given none."""
SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")
EXPORTED = (".onnx", ".xml", ".pt2", ".bin")
"""What an exported file is called: the same pickles under these names, for what opens such files."""
FOREIGN = (".pkl", ".pickle", ".h5")
"""Names that only ``convert`` knows: the first two it opens as pickles, whatever torch would make of them."""
RUN_FILES = ("best.safetensors", "last.safetensors", "bad_batch.pt", LAST, PREVIOUS)
CONFIG = """\
data:
  train: {format: shapes, pictures: 4, size: 64}
  val: {format: shapes, pictures: 2, size: 64, seed: 1}
  image_size: [64, 64]
  workers: 0
model:
  architecture:
    backbone: {name: resnet18, params: {weights: null}}
training: {max_steps: 1, batch_size: 2}
"""
WEIGHTS = "model.architecture.backbone.params.weights"


class Way(NamedTuple):
    """One way to hand a model to a command."""

    words: tuple[str, ...]
    """FILE: the model; RUN: a run's folder in whose files it lies."""
    exported: bool = False
    """Whether exported files go here, too."""
    opens: bool = True
    """Whether it has a use for the weights. One that has none ends well, and says nothing of them."""


def ways(labels: str, pictures: str) -> Iterator[Way]:
    """Every command and option that opens a model. labels: a configuration with labelled pictures."""
    yield Way(("predict", "FILE", pictures, "-o", "found"), exported=True)
    yield Way(("predict", "FILE", pictures, "-o", "found", "--cluster"), exported=True)
    for backend in ("torch", "onnxruntime", "openvino"):
        yield Way(("predict", "FILE", pictures, "-o", "found", "--backend", backend))
    yield Way(("predict", "FILE", pictures, "--backend", "openvino", "--precision", "int8"))
    yield Way(("evaluate", "FILE"))
    yield Way(("evaluate", "FILE", "--data", labels), exported=True)
    yield Way(("evaluate", "FILE", "--write-thresholds", "new.safetensors"))
    yield Way(("evaluate", "FILE", "--galleries", "wrong"))
    for to in ("onnx", "openvino", "torch", "triton"):
        yield Way(
            (
                "export",
                "FILE",
                "--to",
                to,
                "-o",
                {"triton": "r/m", "torch": "m.pt2", "onnx": "m.onnx"}.get(to, "m.xml"),
            )
        )
    yield Way(("export", "FILE", "--int8", "--data", labels, "-o", "m.onnx"), exported=True)
    yield Way(("serve", "FILE", "--port", "0"), exported=True)
    yield Way(("train", "c.yaml", "--from", "FILE"), exported=True)
    yield Way(("train", "c.yaml", f"{WEIGHTS}=FILE"), exported=True)
    yield Way(("train", "--replay", "FILE"))
    yield Way(("train", "--replay", "RUN"))
    yield Way(("train", "--resume", "RUN"))
    yield Way(("doctor", "c.yaml", "--overfit", f"{WEIGHTS}=FILE"), exported=True)
    yield Way(("doctor", "c.yaml", "--memory", f"{WEIGHTS}=FILE"), opens=False)
    yield Way(("config", "show", "c.yaml", f"{WEIGHTS}=FILE"), opens=False)
    yield Way(("lab", "--cumulative", "FILE", "--data", labels, "-o", "lab"), exported=True)
    yield Way(("lab", "--data", "c.yaml", "--seeds", "1", f"{WEIGHTS}=FILE", "-o", "lab"))
    yield Way(("bench", "quantised", "--quick", "--checkpoint", "FILE"), exported=True)
    yield Way(("convert", "FILE", "-o", "new.safetensors"), exported=True)
    yield Way(("convert", "FILE", "--from", "torchvision", "-o", "new.safetensors"))
    yield Way(("web", "FILE", "-o", "site"), exported=True)
    yield Way(("report", "RUN"), opens=False)


class Tried(NamedTuple):
    """A command on a malicious file."""

    way: Way
    name: str
    done: Done
    ran: bool
    """Whether the file's code was run."""

    def kept(self) -> bool:
        """Whether nothing was run, and the command ended as it should: in one line, with the code for it."""
        if self.ran or self.done.crashed or not self.way.opens:
            return not self.ran and not self.done.crashed and self.done.code == 0
        # The page's command goes by the name first, as it would with a good file of another kind.
        by_name = self.way.words[0] == "web" and not self.name.endswith(".onnx")
        about = "run" if "RUN" in self.way.words else self.name
        *said, last = self.done.text.strip().splitlines() or [""]
        one = last.startswith("foveal: ") and not any(line.startswith("foveal: ") for line in said)
        return one and about in last and self.done.code == (USAGE if by_name else MODEL_FILE)


def checkpoints(place: Place) -> Verdict:
    """S8: five pickles under every name, to every command."""
    warm()
    for verb in pkgutil.iter_modules(verbs.__path__):
        importlib.import_module(f"{verbs.__name__}.{verb.name}")
    fixed = place.work / "fixed"
    fixed.mkdir()
    (fixed / "labels.yaml").write_text(CONFIG)
    picture = str(find_pictures([str(place.pictures)])[0])
    marker = place.work / "ran"
    armed, tried = 0, list[Tried]()
    for make in MALICIOUS:
        content = make(marker)
        armed += _is_armed(content, place.work, marker)
        for way in ways(str(fixed / "labels.yaml"), picture):
            names = SUFFIXES + EXPORTED * way.exported + FOREIGN * (way.words[0] == "convert")
            # What lies in a run's folder has names of its own.
            for suffix in names[:1] if "RUN" in way.words or not way.opens else names:
                tried.append(_try(way, content, f"{make.__name__}{suffix}", place.work, marker))
    bad = [one for one in tried if not one.kept()]
    untried = COMMAND[0].commands.keys() - {one.way.words[0] for one in tried} - WITHOUT_MODEL
    calls = unsafe_calls(ROOT / "src")
    for one in bad[:40]:
        print(one.done.code, " ".join(one.way.words), one.name, "|", one.done.text.strip()[-300:])
    for line in (*calls, *(f"{name}: not tried" for name in untried)):
        print(line)
    opened = [one for one in tried if one.way.opens]
    found = (
        f"{armed} of {len(MALICIOUS)} pickles do harm in a careless loader; {len(opened)} tries by "
        f"{len({one.way.words[0] for one in opened})} commands: {sum(one.kept() for one in opened)} refused in "
        f"one line; {len(tried) - len(opened)} by what has no use for weights; "
        f"run: {sum(one.ran for one in tried)}; {len(calls)} unsafe calls in src"
    )
    return Verdict(armed == len(MALICIOUS) and not bad and not calls and not untried, found)


def _is_armed(content: bytes, work: Path, marker: Path) -> bool:
    """Whether the file does its harm where nobody takes care."""
    file = work / "armed.pt"
    file.write_bytes(content)
    careless(file)
    armed = marker.exists()
    marker.unlink(missing_ok=True)
    return armed


def _try(way: Way, content: bytes, name: str, work: Path, marker: Path) -> Tried:
    """One command on one file, in a folder of its own."""
    folder = work / "try"
    run = folder / "run"
    (run / "resume").mkdir(parents=True)
    (folder / "c.yaml").write_text(CONFIG)
    (run / "config.yaml").write_text(CONFIG)
    for file in RUN_FILES:
        (run / file).write_bytes(content)
    (folder / name).write_bytes(content)
    if name.endswith(".xml"):
        (folder / name).with_suffix(".bin").write_bytes(content)
    words = (word.replace("FILE", name).replace("RUN", "run") for word in way.words)
    done = forked(foveal(*words), folder, seconds=120)
    shutil.rmtree(folder)
    tried = Tried(way, name, done, marker.exists())
    marker.unlink(missing_ok=True)
    return tried
