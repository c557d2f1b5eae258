"""The cases of S10 in labels: names, links and lists that lead out of the data's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from outside_box import SECRET, Box, Step, sheet

# ---------------------------------------------------------------- COCO


def _link_to_file(box: Box) -> list[Step]:
    box.link("link.png", "secret.png")
    return box.coco("link.png")


def _link_to_folder(box: Box) -> list[Step]:
    box.link("folder", ".")
    return box.coco("folder/secret.png", "folder/a.png")


def _chain_of_links(box: Box) -> list[Step]:
    box.link("third", ".")
    (box.inside / "second").symlink_to("third")
    (box.inside / "first.png").symlink_to("second/secret.png")
    return box.coco("first.png")


def _through_a_folder(box: Box) -> list[Step]:
    (box.inside / "sub").mkdir()
    return box.coco("sub/../../secret/secret.png")


def _home(box: Box) -> list[Step]:
    steps = box.coco("~/secret.png", "$HOME/secret.png", "${HOME}/secret.png")
    return [step._replace(before=lambda: os.environ.update(HOME=str(box.secret))) for step in steps]


def _odd_names_inside(box: Box) -> list[Step]:
    """They are there, inside; the copy has to stay in its folder."""
    names = [
        "..png",
        "...png",
        "a\\..\\..\\x.png",
        "-rf.png",
        "~.png",
        "%2e%2e%2fx.png",
        "sub/../b.png",
        "$(touch x).png",
    ]
    (box.inside / "sub").mkdir()
    for name in names:
        shutil.copy(box.inside / "a.png", box.inside / name)
    return box.coco(*names)


def _labels_are_a_link(box: Box) -> list[Step]:
    box.link("labels.json", "labels.json")
    return box.look(says="labels.json", reads=False)


def _pictures_are_a_link(box: Box) -> list[Step]:
    (box.inside / "a.png").unlink()
    box.link("images", ".")
    (box.inside / "annotations").mkdir()
    (box.inside / "annotations" / "instances_train.json").write_text(box.coco_text(["a.png", "secret.png"]))
    return box.look(says="images", reads=False)


# ---------------------------------------------------------------- VOC


def _voc(name: str) -> Callable[[Box], list[Step]]:
    def make(box: Box) -> list[Step]:
        (box.inside / "a.xml").write_text(sheet(box.box, "a.png"))
        wanted = name.format(secret=box.secret)
        (box.inside / "b.xml").write_text(sheet(box.box, wanted))
        return box.look(says="b.xml")

    return make


def _voc_linked_sheet(box: Box) -> list[Step]:
    (box.inside / "a.xml").write_text(sheet(box.box, "a.png"))
    shutil.copy(box.inside / "a.png", box.inside / "b.png")
    box.link("b.xml", "secret.xml")
    return box.look(says="b.xml")


def _voc_linked_picture(box: Box) -> list[Step]:
    for stem in "ab":
        (box.inside / f"{stem}.xml").write_text(sheet(box.box, f"{stem}.png"))
    box.link("b.png", "secret.png")
    return box.look(says="b.png")


def _devkit(box: Box) -> None:
    for name in ("Annotations", "ImageSets/Main"):
        (box.inside / name).mkdir(parents=True)
    (box.inside / "Annotations" / "a.xml").write_text(sheet(box.box, "a.png"))


def _voc_split_lines(box: Box) -> list[Step]:
    _devkit(box)
    (box.inside / "JPEGImages").mkdir()
    shutil.move(box.inside / "a.png", box.inside / "JPEGImages")
    lines = ["a", "../../secret/secret", str(box.secret / "secret"), "..\\..\\secret\\secret.png"]
    (box.inside / "ImageSets" / "Main" / "train.txt").write_text("\n".join(lines))
    return box.look(says="../../secret/secret", reads=False)


def _voc_linked_split(box: Box) -> list[Step]:
    _devkit(box)
    (box.inside / "JPEGImages").mkdir()
    shutil.move(box.inside / "a.png", box.inside / "JPEGImages")
    box.link("ImageSets/Main/train.txt", "train.txt")
    return box.look(says="train.txt", reads=False)


def _voc_linked_pictures(box: Box) -> list[Step]:
    _devkit(box)
    (box.inside / "a.png").unlink()
    box.link("JPEGImages", ".")
    return box.look(says="JPEGImages", reads=False)


# ---------------------------------------------------------------- YOLO


def _yolo(text: str, says: str = "") -> Callable[[Box], list[Step]]:
    def make(box: Box) -> list[Step]:
        (box.inside / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        (box.inside / "data.yaml").write_text(text.format(secret=box.secret) + "\nnames: [cat]\n")
        (box.inside / "list.txt").write_text(
            f"a.png\n{SECRET}\n{box.secret}/secret.png\n..\\secret\\secret.png\n"
        )
        return box.look(says=says, reads="val" in text or "list" in text)

    return make


def _yolo_linked(name: str, target: str, sheet: bool = True) -> Callable[[Box], list[Step]]:
    """Pictures in ``images``, labels in ``labels``, one of all that a link."""

    def make(box: Box) -> list[Step]:
        for folder in ("images", "labels"):
            if folder != name:
                (box.inside / folder).mkdir()
        if name != "images":
            shutil.copy(box.inside / "a.png", box.inside / "images" / "a.png")
            shutil.copy(box.inside / "a.png", box.inside / "images" / "b.png")
        if name != "labels":
            (box.inside / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        if sheet and name != "data.yaml":
            (box.inside / "data.yaml").write_text("train: images\nnames: [cat]\n")
        box.link(name, target)
        return box.look(says=name, reads=False)

    return make


# ---------------------------------------------------------------- CSV, configuration


def _csv(*names: str) -> Callable[[Box], list[Step]]:
    def make(box: Box) -> list[Step]:
        wanted = [name.format(secret=box.secret) for name in names]
        (box.inside / "labels.csv").write_text(box.csv_text(["a.png", *wanted]))
        return box.look(says="secret.png")

    return make


def _csv_linked(box: Box) -> list[Step]:
    box.link("labels.csv", "labels.csv")
    return box.look(says="labels.csv", reads=False)


def _csv_linked_picture(box: Box) -> list[Step]:
    box.link("b.png", "secret.png")
    (box.inside / "labels.csv").write_text(box.csv_text(["a.png", "b.png", "b"]))
    return box.look()


def _configured_root(box: Box) -> list[Step]:
    """``data.root`` is a person's own word; what lies below it is not."""
    box.coco(SECRET, "inside/../../secret/secret.png")
    source = "{format: coco, annotations: labels.json}"
    text = (
        f"data:\n  root: {box.inside}/../inside\n  train: {source}\n  val: {source}\n  image_size: [64, 64]\n"
    )
    (box.inside / "config.yaml").write_text(text)
    return box.look(box.inside / "config.yaml", says="secret.png")[:1]


LABELS: dict[str, Callable[[Box], list[Step]]] = {
    "coco up": lambda box: box.coco(SECRET, "../secret/a.png"),
    "coco absolute": lambda box: box.coco(str(box.secret / "secret.png")),
    "coco backslashes": lambda box: box.coco("..\\secret\\secret.png", "sub\\..\\..\\secret\\secret.png"),
    "coco drives": lambda box: box.coco(
        "C:\\..\\secret\\secret.png", "C:../secret/secret.png", "\\\\?\\C:\\secret.png"
    ),
    "coco file url": lambda box: box.coco(f"file://{box.secret}/secret.png", f"file:{box.secret}/secret.png"),
    "coco web url": lambda box: box.coco("http://127.0.0.1:9/secret.png", "memory://secret.png"),
    "coco through a folder": _through_a_folder,
    "coco link to a file": _link_to_file,
    "coco link to a folder": _link_to_folder,
    "coco chain of links": _chain_of_links,
    "coco zero byte": lambda box: box.coco("a.png\0/../../secret/secret.png", "\0"),
    "coco home": _home,
    "coco encoded dots": lambda box: box.coco(
        "%2e%2e/secret/secret.png", "\uff0e\uff0e/secret/secret.png", "..;/secret.png"
    ),
    "coco odd names inside": _odd_names_inside,
    "coco labels are a link": _labels_are_a_link,
    "coco pictures are a link": _pictures_are_a_link,
    "voc filename up": _voc(SECRET),
    "voc filename absolute": _voc("{secret}/secret.png"),
    "voc linked sheet": _voc_linked_sheet,
    "voc linked picture": _voc_linked_picture,
    "voc split lines": _voc_split_lines,
    "voc linked split": _voc_linked_split,
    "voc linked pictures": _voc_linked_pictures,
    "yolo part up": _yolo("train: ../secret", says="'../secret' was not found"),
    "yolo path absolute": _yolo("path: {secret}\ntrain: .", says="secret lies outside"),
    "yolo list lines": _yolo("train: list.txt", says=SECRET),
    "yolo linked labels": _yolo_linked("labels", "."),
    "yolo linked label file": _yolo_linked("labels/b.txt", "secret.txt"),
    "yolo linked classes": _yolo_linked("classes.txt", "classes.txt", sheet=False),
    "yolo linked data yaml": _yolo_linked("data.yaml", "data.yaml"),
    "yolo linked pictures": _yolo_linked("images", "."),
    "yolo linked pictures alone": _yolo_linked("images", ".", sheet=False),
    "yolo linked picture": _yolo_linked("images/c.png", "secret.png"),
    "csv up": _csv(SECRET, "../secret/secret", "{secret}/secret.png"),
    "csv windows": _csv("..\\secret\\secret.png", "C:\\secret\\secret.png"),
    "csv linked": _csv_linked,
    "csv linked picture": _csv_linked_picture,
    "configured root": _configured_root,
}
