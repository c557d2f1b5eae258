"""The whole page: it asks for nothing outside, no name in it is markup, and nothing tells of the machine."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image

from foveal.diagnosis.page_policy import page_policy
from foveal.diagnosis.report import writing
from foveal.diagnosis.report.embedding import Embedder
from foveal.diagnosis.report.gather import gather
from foveal.diagnosis.report.settings import changed_keys, differences, listing
from foveal.diagnosis.report.verdict import advice, verdict
from foveal.diagnosis.report.writing import page_text, write_report

EVIL = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "]]></style><b>",
    "\u202eevil\u2066",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
)
VOID = {"meta", "link", "br", "img", "wbr"}


class Reader(HTMLParser):
    """Tags, attributes and text of a page; remembers what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open[-1] == tag, (self.open[-3:], tag)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def words(text: str) -> str:
    return " ".join(" ".join(read(text).words).split())


def test_the_page_asks_for_nothing_and_runs_nothing(make_run) -> None:
    text = page_text(gather([make_run(names=EVIL)]))
    reader = read(text)
    for tag, attributes in reader.tags:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form", "input", "b")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", "the page's own policy would refuse it"
            if name in ("src", "href", "action", "srcset", "data", "xlink:href"):
                assert str(value).startswith(("data:image/jpeg;base64,", "data:,", "#")), (tag, name, value)
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(style) == 1
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    policy = next(a["content"] or "" for tag, a in reader.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    assert page_policy(style[0]) == policy
    assert "unsafe" not in policy
    assert "script-src" not in policy


def test_names_are_text(make_run) -> None:
    text = words(page_text(gather([make_run(names=EVIL)])))
    for name in EVIL[:3]:
        assert name in text
    assert "{{ 7 * 7 }}" in text
    assert "\u202e" not in text
    assert "\u2066" not in text


def test_it_says_what_the_files_say(make_run) -> None:
    text = words(page_text(gather([make_run()])))
    assert "AP of 50.0 of 100 (95 % interval 45.0 to 54.0)" in text
    assert "boxes that do not fit well enough (7.5 points of AP50)" in text
    assert "No anchors in …/x" in text
    assert "first: AP 50.0" in text


def test_nothing_tells_of_the_machine(make_run, tmp_path: Path) -> None:
    text = page_text(gather([make_run()]))
    for part in ("/home/", "someone", str(tmp_path), str(Path.cwd()), str(Path.home()) + "/"):
        assert part not in text


@pytest.mark.parametrize("kept", ["config.yaml", "metrics.csv", "evaluation.json", "best.safetensors"])
def test_a_run_with_a_single_file_makes_a_page(make_run, kept: str) -> None:
    folder = make_run()
    for file in folder.rglob("*"):
        if file.is_file() and file.name != kept:
            file.unlink()
    text = words(page_text(gather([folder])))
    assert "could not be made" not in text
    assert text.count("foveal evaluate RUN/best.safetensors") >= (kept != "evaluation.json")


SHAPES = [None, [], {}, "x", 3, [None, 5], {"points": 3}, [{"name": None, "recall": "x"}]]


@pytest.mark.parametrize("value", SHAPES)
def test_sections_of_another_shape_are_left_out(make_run, value: object) -> None:
    folder = make_run()
    file = folder / "evaluation.json"
    content = json.loads(file.read_text())
    for name in content:
        if isinstance(content[name], dict | list):
            content[name] = value
    file.write_text(json.dumps(content))
    text = words(page_text(gather([folder])))
    assert "could not be made" not in text
    assert "AP of 50.0 of 100" in text


def test_several_runs_stand_side_by_side(make_run) -> None:
    runs = gather([make_run("first", score=0.5), make_run("second", names=("cat", "owl"), score=0.3)])
    text = page_text(runs)
    found = words(text)
    assert "Of 2 runs first is ahead with an AP of 50.0, 20.0 points before second" in found
    assert "their 95 % intervals lie apart" in found
    assert "Settings that differ" in found
    assert "owl" in found
    colours = [
        a["class"] for tag, a in read(text).tags if tag == "rect" and a.get("class") in ("bar c0", "bar c1")
    ]
    assert {"bar c0", "bar c1"} <= set(colours)


def test_runs_on_different_data_share_no_chart(make_run) -> None:
    """Two of one set and one of another: a chart of each set, every run in its own colour, and a word on why."""
    folders = [make_run("first"), make_run("other", names=("owl",)), make_run("second", score=0.4)]
    for folder, labels in zip(folders, "aba", strict=True):
        file = folder / "evaluation.json"
        content = json.loads(file.read_text())
        content["intervals"]["labels"] = labels
        file.write_text(json.dumps(content))
    text = page_text(gather(folders))
    found = words(text)
    assert (
        "2 different sets of pictures: first, second (40 pictures of cat, dog); other (40 pictures of owl)."
        in found
    )
    assert "is ahead" not in found
    assert "to the best" not in found
    frames = [part.split("</figure>")[0] for part in text.split("<figure")[1:]]
    assert not any("<bdi>other</bdi>" in frame for frame in frames)
    shared = [frame for frame in frames if "<bdi>first</bdi>" in frame]
    assert len(shared) > 5
    for frame in shared:
        assert "<bdi>second</bdi>" in frame
        assert " c2" in frame, "the second keeps the colour that it has on the whole page"
        assert " c1" not in frame
    same = words(page_text(gather(folders[::2])))
    assert "different sets" not in same
    assert "first is ahead" in same


def test_what_was_logged_once_is_a_sentence_and_no_chart(make_run) -> None:
    folder, other = make_run("first"), make_run("second")
    (folder / "metrics.csv").write_text(
        "step,epoch,loss,AP,val_loss,rate\n10,0,2.0,,,0.1\n20,1,1.0,0.525,0.75,\n"
    )
    text = page_text(gather([folder]))
    said = "AP 52.5 at step 20; val loss 0.75 at step 20"
    assert f"Logged once, which makes no curve: Learning rate 0.1 at step 10; {said}." in words(text)
    assert "<bdi>Average precision</bdi>" in text  # the results' bars
    assert text.count("<bdi>Average precision</bdi>") == 1
    found = words(page_text(gather([folder, other])))
    assert "Logged once" not in found
    assert "A dot: a single value." in found


def test_a_verdict_needs_an_evaluation(make_run) -> None:
    folder = make_run()
    (folder / "evaluation.json").unlink()
    (folder / "best.safetensors").unlink()
    [run] = gather([folder])
    assert "has not been evaluated" in verdict([run])
    assert any("foveal evaluate" in one.text for one in advice([run]))


def test_a_run_that_was_still_getting_better_is_told_to_go_on(make_run) -> None:
    assert any("still rising at the end (by 30.0 points" in one.text for one in advice(gather([make_run()])))


def test_a_run_that_has_learned_little_is_told_to_go_on_and_not_of_kinds_of_errors(make_run) -> None:
    folder = make_run()
    assert "what costs it most" in verdict(gather([folder]))
    file = folder / "evaluation.json"
    content = json.loads(file.read_text())
    little = {
        "rule": "hardly_learned",
        "severity": "warning",
        "message": "AP50 0.01: little",
        "fix": "train longer",
    }
    content["findings"] = [little]
    file.write_text(json.dumps(content))
    runs = gather([folder])
    assert "what costs it most" not in verdict(runs)
    assert "learned next to nothing so far" in verdict(runs)
    assert advice(runs)[-1].text == "Train longer."


def test_settings_name_what_differs(make_run) -> None:
    runs = gather([make_run("first"), make_run("second", names=("cat", "owl"))])
    assert differences(runs) == [("data.classes", ["[cat, dog]", "[cat, owl]"])]
    changed = changed_keys(runs[0].config)
    assert changed is not None
    assert {"training.batch_size", "training.max_steps", "data.image_size"} <= changed
    assert "training.seed" not in changed
    marked = [line.text.strip() for line in listing(runs[0]) if line.marked]
    assert "batch_size: 4" in marked
    assert "annotations: …/set/train.json" in marked


def test_two_folders_of_one_name_count_as_different(make_run) -> None:
    folders = [make_run("first"), make_run("second")]
    config = folders[1] / "config.yaml"
    config.write_text(config.read_text().replace("someone/my data", "other/my data"))
    found = differences(gather(folders))
    assert found == [("data.train.annotations", ["…/set/train.json (1)", "…/set/train.json (2)"])]


def test_pictures_stop_at_the_budget(tmp_path: Path) -> None:
    file = tmp_path / "noise.png"
    noise = torch.randint(
        0, 255, (200, 1600, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    Image.fromarray(noise.numpy()).save(file)
    embedder = Embedder(400_000)
    found = [embedder.picture(file, "noise") for _ in range(6)]
    taken = [picture for picture in found if picture is not None]
    assert 0 < len(taken) < 6
    assert embedder.refused == 6 - len(taken)
    assert taken[0].width == 1500
    assert sum(len(picture.source) for picture in taken) < 400_000 * 4 / 3 + 1000


def test_what_only_looks_like_a_picture_is_left_out(make_run, tmp_path: Path) -> None:
    folder = make_run()
    (folder / "galleries" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    outside = tmp_path / "secret.png"
    Image.new("RGB", (10, 10)).save(outside)
    rows = [{"file": "../../../secret.png", "title": "outside"}]
    (folder / "galleries" / "galleries.json").write_text(json.dumps(rows))
    reader = read(page_text(gather([folder])))
    assert len([tag for tag, _ in reader.tags if tag == "img"]) == 1
    assert "outside" not in " ".join(reader.words)


def test_one_run_gets_its_page_and_a_newer_one_takes_its_place(make_run) -> None:
    folder = make_run()
    path = write_report([folder])
    assert path == folder / "report.html"
    (folder / "evaluation.json").unlink()
    assert write_report([folder]) == path
    assert "AP of 50.0" not in path.read_text()


def test_what_is_not_ours_stays(make_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run()
    mine = folder / "report.html"
    mine.write_text("<p>mine</p>")
    assert write_report([folder]) == folder / "report-2.html"
    assert mine.read_text() == "<p>mine</p>"
    given = tmp_path / "page.html"
    assert write_report([folder], given) == given
    before = given.read_bytes()
    assert write_report([folder], given) == tmp_path / "page-2.html"
    assert given.read_bytes() == before
    monkeypatch.chdir(tmp_path)
    assert write_report([folder, make_run("second")]) == Path("report.html")


def test_a_part_that_fails_costs_itself_alone(make_run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no such thing in /home/someone/x")

    monkeypatch.setattr(writing, "training", broken)
    text = words(page_text(gather([make_run()])))
    assert "This part could not be made (RuntimeError: no such thing in …/x)" in text
    assert "AP of 50.0" in text
