"""What the cases of S10 stand on: the three folders of each, and the commands that are run over them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from forked import foveal
from PIL import Image

CANARY = "canary7261"
"""A class in every label file that lies outside."""
SECRET = "../secret/secret.png"


class Step(NamedTuple):
    """One command."""

    words: tuple[str, ...]
    says: str = ""
    """What has to be named, on the screen or in its JSON."""
    reads: bool = True
    """Whether it has to read ``a.png``: a command that does nothing shows nothing."""
    before: Callable[[], object] = lambda: None

    def work(self) -> None:
        """Do it, and end the process."""
        self.before()
        foveal(*self.words)()


class Box:
    """``inside`` with a sound ``a.png``, ``secret`` with tempting files, ``out`` for what is written."""

    def __init__(self, root: Path, model: Path, pictures: Path) -> None:
        self.root, self.model = root.resolve(), model
        self.inside, self.secret, self.out = (self.root / name for name in ("inside", "secret", "out"))
        self.temporary = self.root / "temporary"
        for folder in (self.inside, self.secret, self.out, self.temporary):
            folder.mkdir(parents=True)
        sound = sorted(path for path in pictures.iterdir() if path.suffix.lower() in (".png", ".jpg"))
        for number, path in enumerate(
            (self.inside / "a.png", self.secret / "secret.png", self.secret / "a.png")
        ):
            with Image.open(sound[number]) as image:
                image.convert("RGB").save(path)
        width, height = Image.open(self.inside / "a.png").size
        self.box = (3, 4, width // 2, height // 2)
        for name in ("secret", "a"):
            (self.secret / f"{name}.xml").write_text(sheet(self.box, f"{name}.png", CANARY))
            (self.secret / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        (self.secret / "labels.json").write_text(self.coco_text(["secret.png", "a.png"], CANARY))
        (self.secret / "classes.txt").write_text(f"{CANARY}\n")
        (self.secret / "data.yaml").write_text(f"train: .\nnames: [{CANARY}]\n")
        (self.secret / "train.txt").write_text("secret\nsecret.png\n")
        (self.secret / "labels.csv").write_text(self.csv_text(["secret.png"], CANARY))

    def coco_text(self, names: Sequence[str], label: str = "cat") -> str:
        """COCO with a box on each picture."""
        images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
        rows = [{"id": n, "image_id": n, "category_id": 1, "bbox": list(self.box)} for n in range(len(names))]
        return json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": label}]})

    def csv_text(self, names: Sequence[str], label: str = "cat") -> str:
        """A row of each picture."""
        rows = [f'"{name}",{label},{",".join(map(str, self.box))}\n' for name in names]
        return "filename,class,xmin,ymin,xmax,ymax\n" + "".join(rows)

    def coco(self, *names: str) -> list[Step]:
        """A COCO set with these names beside the sound picture."""
        (self.inside / "labels.json").write_text(self.coco_text(["a.png", *names]))
        return self.look(says=names[0] if names and names[0].isprintable() and "\\" not in names[0] else "")

    def look(self, target: Path | None = None, says: str = "", reads: bool = True) -> list[Step]:
        """The doctor with all it can write, and init."""
        target = target or self.inside
        words = (
            "doctor",
            str(target),
            "--json",
            "report.json",
            "--csv",
            "report.csv",
            "--html",
            "report.html",
        )
        return [
            Step((*words, "--fix", "fixed"), says, reads),
            Step(("init", str(target), "-o", "config.yaml"), "", reads),
        ]

    def link(self, name: str, target: str) -> None:
        """A link below ``inside`` to below ``secret``."""
        path = self.inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(self.secret / target, path.parent))

    def predict(
        self,
        *sources: str,
        says: str = "",
        before: Callable[[], object] = lambda: None,
        more: Sequence[str] = (),
    ) -> Step:
        """Predict with every format."""
        formats = "coco,csv,yolo,parquet,jsonl"
        words = (
            "predict",
            str(self.model),
            *sources,
            "--format",
            formats,
            "--device",
            "cpu",
            "--all",
            "-o",
            "found",
            *more,
        )
        return Step(words, says, before=before)


def sheet(box: Sequence[int], filename: str, label: str = "cat") -> str:
    """A VOC file."""
    x1, y1, x2, y2 = box
    sides = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
    found = f"<object><name>{label}</name><bndbox>{sides}</bndbox></object>"
    return f"<annotation><filename>{filename}</filename>{found}</annotation>"
