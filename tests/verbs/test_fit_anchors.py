"""``fit_anchors``: a table, and the user's file with other anchors."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from foveal.config.load import load_config
from foveal.config.schema import CocoSource
from foveal.data.shapes import make_shapes, write_shapes
from foveal.errors import UsageError
from foveal.verbs.fit_anchors import fit_anchors

TEXT = """\
# my set
data:
  train: {format: coco, annotations: set/annotations.json, images: set/images}  # here
  image_size: [128, 128]
model:
  preset: paper
  architecture:
    backbone: {params: {weights: null}}
    head:
      params:
        num_layers: 2   # enough
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    write_shapes(make_shapes(10, 2, 128, seed=1, empty_share=0.2), folder / "set")
    (folder / "mine.yaml").write_text(TEXT)
    return folder


def run(config: Path, **options: object) -> tuple[object, str]:
    out = StringIO()
    result = fit_anchors(config, console=Console(file=out, width=120), **options)  # type: ignore[arg-type]
    return result, out.getvalue()


def test_without_a_request_nothing_is_written(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    result, text = run(folder / "mine.yaml")
    assert result.output is None  # type: ignore[attr-defined]
    assert result.proposal.changes  # type: ignore[attr-defined]
    assert sorted(folder.rglob("*")) == before
    for line in ("boxes that can reach IoU 0.5", "now", "proposed", "anchors in a cell"):
        assert line in text


def test_the_new_file_gives_exactly_the_proposal(folder: Path) -> None:
    result, _ = run(folder / "mine.yaml", write=True)
    proposal, output = result.proposal, result.output  # type: ignore[attr-defined]
    assert output == folder / "mine_anchors.yaml"
    assert (folder / "mine.yaml").read_text() == TEXT
    new = load_config(output).model_dump(mode="json")
    old = load_config(folder / "mine.yaml").model_dump(mode="json")
    for key, value in proposal.changes.items():
        inner_new, inner_old = new, old
        for step in key[:-1]:
            inner_new, inner_old = inner_new[step], inner_old[step]
        assert inner_new[key[-1]] == value
        inner_new[key[-1]] = inner_old[key[-1]] = None
    assert new == old
    text = output.read_text()
    assert all(line in text for line in TEXT.splitlines()), "every line of the file is still there"
    again, _ = run(folder / "mine.yaml", write=True)
    assert again.output == folder / "mine_anchors-2.yaml"  # type: ignore[attr-defined]


def test_into_another_folder_paths_still_lead_to_the_data(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "new.yaml"
    run(folder / "mine.yaml", output=output)
    data = load_config(output).data
    assert data is not None
    assert isinstance(data.train, CocoSource)
    assert Path(data.train.annotations).resolve() == (folder / "set" / "annotations.json").resolve()
    assert Path(data.train.images or "").resolve() == (folder / "set" / "images").resolve()
    assert "# here" in output.read_text()


def test_overrides_count_and_are_not_written(folder: Path, tmp_path: Path) -> None:
    output = folder / "over.yaml"
    result, text = run(folder / "mine.yaml", output=output, overrides=["model.losses.assigner.name=atss"])
    assert "ATSS" in text
    assert "atss" not in output.read_text()
    assert f"next: foveal train {output} model.losses.assigner.name=atss" in " ".join(text.split())
    assert result.proposal.before.assigner == "atss"  # type: ignore[attr-defined]


def test_each_size_stands_beside_itself(tmp_path: Path) -> None:
    """Boxes that are small on the canvas of now and medium on the larger one: no row mixes the two."""
    write_shapes(make_shapes(6, 2, 640, seed=1, empty_share=0), tmp_path / "set")
    file = tmp_path / "small.yaml"
    file.write_text(TEXT.replace("[128, 128]", "[32, 32]"))
    result, text = run(file)
    check = result.proposal.after  # type: ignore[attr-defined]
    assert check.canvas[0] > 32
    cells = {
        row[0]: row
        for line in text.splitlines()
        if len(row := [c.strip() for c in line.split("│")[1:-1]]) == 3
    }
    for name, low, high in (("small", 0, 32), ("medium", 32, 96)):
        of_size = int(((check.boxes.sides >= low) & (check.boxes.sides < high)).sum())
        shown = cells.get(f"{name}: boxes, with an object", ["", "-", "-"])[2]
        assert shown.split(",")[0] == (str(of_size) if of_size else "-")


def test_no_file_is_written_over(folder: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        run(folder / "mine.yaml", output=folder / "mine.yaml")
    assert (folder / "mine.yaml").read_text() == TEXT


def test_what_cannot_be_changed_as_text_is_refused_and_leaves_nothing(folder: Path) -> None:
    shared = folder / "shared.yaml"
    shared.write_text(
        TEXT.replace("    head:\n      params:\n", "    head:\n      params: &p\n")
        .replace("        num_layers: 2   # enough\n", "        <<: {num_layers: 2}\n")
        .replace("    head:\n", "    head: {params: *q}\n    x:\n")
    )
    with pytest.raises(UsageError):
        run(shared, write=True)
    assert not (folder / "shared_anchors.yaml").exists()
