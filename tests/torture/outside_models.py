"""The cases of S10 in what is predicted and in files of models: names of pictures and classes, rows, archives."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from outside_box import SECRET, Box, Step

from foveal.checkpoint.format import load_checkpoint, save_checkpoint
from foveal.types import ClassNames


def _predict_names(box: Box) -> list[Step]:
    for name in (
        "..png",
        "...png",
        "a\\..\\..\\x.png",
        "-rf.png",
        "%2e%2e%2fx.png",
        "$(touch x).png",
        "detections.png",
    ):
        shutil.copy(box.inside / "a.png", box.inside / name)
    return [box.predict(str(box.inside))]


def _predict_addresses(box: Box) -> list[Step]:
    names = ["shop/..%2f..%2fx.png", "shop/a\\..\\..\\b.png", "shop/../../y.png", "shop/..png"]

    def put() -> None:
        import fsspec

        store = fsspec.filesystem("memory")
        for name in names:
            store.pipe(f"/{name}", (box.inside / "a.png").read_bytes())

    sources = [f"memory://{name}" for name in names]
    return [box.predict(str(box.inside / "a.png"), *sources, before=put)]


def _strange_journal(box: Box) -> list[Step]:
    """A folder to go on with, whose rows lead outside."""
    first = box.predict(str(box.inside / "a.png"))

    def spoil() -> None:
        journal = box.out / "found" / "detections.jsonl"
        row = json.loads(journal.read_text().splitlines()[0])
        for file in (SECRET, "../../secret/new.png", "/secret/x.png", "..", "../.."):
            more = {**row, "file": file, "drawn": f"../../secret/{Path(file).name}", "modified": None}
            with journal.open("a") as stream:
                stream.write(json.dumps(more) + "\n")

    again = box.predict(str(box.inside), more=("--resume",), before=spoil)
    return [first, again._replace(reads=False)]


def _class_names(box: Box) -> list[Step]:
    """A model whose classes are called as paths."""
    header, state = load_checkpoint(box.model)
    old = header.classes
    names = tuple(
        f"../../secret/{name}" if n % 2 else f"{box.root}/{name}" for n, name in enumerate(old.names)
    )
    thresholds = (
        dict(zip(names, header.thresholds.values(), strict=False)) if header.thresholds else header.thresholds
    )
    box.model = box.inside / "model.safetensors"
    save_checkpoint(
        box.model, state, replace(header, classes=ClassNames(names, old.ids), thresholds=thresholds)
    )
    return [box.predict(str(box.inside / "a.png"))]


def _archive(name: str, *words: str) -> Callable[[Box], list[Step]]:
    """A zip file of torch's kind with members that lead outside."""

    def make(box: Box) -> list[Step]:
        (box.inside / "config.yaml").write_text("{}\n")
        with zipfile.ZipFile(box.inside / name, "w") as archive:
            outside = ("../secret/new", "../../new", f"{box.root}/new")
            for member in (*outside, "archive/data.pkl", "archive/version"):
                archive.writestr(member, "3\n")
        filled = [
            word.format(file=box.inside / name, picture=box.inside / "a.png", run=box.inside)
            for word in words
        ]
        return [Step(tuple(filled), name, reads=False)]

    return make


MODELS: dict[str, Callable[[Box], list[Step]]] = {
    "predict odd names": _predict_names,
    "predict addresses": _predict_addresses,
    "predict strange journal": _strange_journal,
    "model class names": _class_names,
    "archive pt2": _archive("model.pt2", "predict", "{file}", "{picture}", "-o", "found"),
    "archive checkpoint": _archive("model.ckpt", "convert", "{file}", "-o", "converted.safetensors"),
    "archive replay": _archive("bad_batch.pt", "train", "--replay", "{run}"),
}
