"""Prediction on Ray: every picture once, whatever becomes of a worker; nothing listens to the outside.

Ray is started in processes of its own. The full form of the kills is ``tests/torture/ray_kills.py``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from foveal.cluster.job import detect_on_cluster, gpu_share, work_for
from foveal.cluster.start import Cluster, check_ray, ray_cluster
from foveal.cluster.worker import Detector, Work
from foveal.errors import DataError, UsageError
from foveal.runtime.journal import detections_of
from foveal.runtime.predictor import Predictor
from foveal.runtime.read_ahead import Loaded
from foveal.verbs.predict_cluster import check_cluster_choice

SECONDS = 500
"""A machine that has much else to do takes minutes to start Ray and its workers."""
WORK: Any = None


@pytest.fixture(scope="module")
def processes() -> ModuleType:
    """``ray_process.py``."""
    spec = importlib.util.spec_from_file_location("ray_process", Path(__file__).with_name("ray_process.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_is_killed_and_every_picture_comes_once(
    processes: Any, trained: Any, tmp_path: Path
) -> None:
    """R11 in its quick form, and S15: meanwhile nothing listens but on the loopback."""
    pytest.importorskip("ray.data", reason="needs the extra cluster")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra cluster")
    images = sorted((trained.data / "images").iterdir())
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        (tmp_path / "pictures" / f"{number:02}.png").write_bytes(images[number % 8].read_bytes())
    (tmp_path / "pictures" / "07.png").write_bytes(b"no picture")
    options = ("-o", "out", "--cluster", "--workers", "1", "--format", "parquet", "--patience", "400")
    running = processes.start(trained.best, "pictures", *options, folder=tmp_path)
    killed, open_to = 0, []
    end = time.monotonic() + SECONDS
    while running.poll() is None and time.monotonic() < end:
        if not killed and processes.rows_of(tmp_path / "out"):
            its = processes.below(running.pid)
            open_to = processes.listening(its)
            assert not any(map(processes.is_dashboard, its)), "it would ask the network whose cloud this is"
            for pid in processes.workers_of(running.pid):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        time.sleep(0.05)
    if running.poll() is None:
        running.terminate()  # so that Ray ends with it
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 0, said
    assert killed == 1
    assert open_to, "nothing of Ray was seen to listen"
    assert set(open_to) <= processes.LOOPBACK
    rows = processes.rows_of(tmp_path / "out")
    assert sorted(row["file"] for row in rows) == [f"pictures/{number:02}.png" for number in range(40)]
    assert [row["file"] for row in rows if row["status"] == "error"] == ["pictures/07.png"]
    # A line on the progress may come first, and nothing that Ray warns of.
    assert "\npictures/07.png: not a picture that can be read" in f"\n{said}"
    assert "Warning" not in said
    assert parquet.read_table(tmp_path / "out" / "detections.parquet").num_rows == 40
    predictor = Predictor(trained.best, "cpu")
    local = [predictor(image) for image in images]
    for row in rows:
        if row["status"] == "ok":
            expected, found = local[int(Path(row["file"]).stem) % 8], detections_of(row)
            assert found.names == expected.names
            np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)


def test_what_a_cluster_does_not_do() -> None:
    pytest.importorskip("ray", reason="needs the extra cluster")
    with pytest.raises(UsageError, match=r"^clip\.mp4: --cluster takes pictures, and no videos"):
        check_cluster_choice(["a.png", "clip.mp4"], None)
    with pytest.raises(UsageError, match=r"^--cluster draws no pictures: leave out --pictures$"):
        check_cluster_choice(["a.png"], True)


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^--cluster needs Ray Data: pip install 'foveal\[cluster\]'$"):
        check_ray()


# ---------------------------------------------------------------- the order of things, without Ray


class Blocks:
    """Stands for Ray: answers each block twice, and never one with a deadly file in it."""

    def __init__(self, deadly: set[str]) -> None:
        self.deadly = deadly
        self.passes: list[tuple[list[str], int]] = []

    def __call__(self, cluster: Any, left: dict[int, str], work: Any, size: int, *_: Any) -> Any:
        items = list(left.items())
        self.passes.append(([file for _, file in items], size))
        for first in range(0, len(items), size):
            block = items[first : first + size]
            if self.deadly.isdisjoint(file for _, file in block):
                rows = [json.dumps({"file": file, "status": "ok"}) for _, file in block]
                numbers = np.array([number for number, _ in block])
                batch = {
                    "number": numbers,
                    "row": rows,
                    "score": [0.5] * len(block),
                    "name": ["a"] * len(block),
                }
                yield batch
                yield batch


def test_exactly_once_and_what_kills_its_worker_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = Blocks({"13"})
    monkeypatch.setattr("foveal.cluster.job._blocks", blocks)
    files = [str(number) for number in range(40)]
    answers = list(detect_on_cluster(Cluster(None, 2, 0, True), files, WORK, lambda: False))
    assert sorted(int(answer.row["file"]) for answer in answers) == list(range(40))
    (failed,) = [answer.row for answer in answers if answer.row["status"] == "error"]
    assert (failed["file"], failed["error"]) == ("13", "13: the worker died over it, 5 times")
    assert [size for _, size in blocks.passes] == [5, 1]
    assert blocks.passes[1][0] == ["10", "11", "12", "13", "14"]  # only its block is done again


class Stuck:
    """Data that never comes."""

    def iter_batches(self, **_: Any) -> Any:
        time.sleep(2)
        yield from ()


def test_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foveal.cluster.job._pipeline", lambda *_: Stuck())
    cluster = Cluster(None, 1, 0, True)
    with pytest.raises(UsageError, match=r"no picture came back from Ray in 0\.3 seconds"):
        list(detect_on_cluster(cluster, ["a"], WORK, lambda: False, patience=0.3))
    assert list(detect_on_cluster(cluster, ["a"], WORK, lambda: True)) == []


# ---------------------------------------------------------------- what a worker does, without Ray


def block(*files: str) -> dict[str, Any]:
    """As Ray hands it over; a path is its name in capitals."""
    names = np.array([json.dumps([file, file.upper()]) for file in files], dtype=object)
    return {"number": np.arange(len(files)), "names": names}


def test_two_names_of_one_file_are_two_rows(trained: Any) -> None:
    image = str(sorted((trained.data / "images").iterdir())[1])
    detector = Detector(Work(str(trained.best), {"device": "cpu"}, dict.fromkeys(CLASSES, 0.3), 2, 1))
    odd = "caf\udce9.png"
    names = np.array(
        [json.dumps([name, path]) for name, path in (("a", image), ("b", image), (odd, "gone.png"))]
    )
    answer = detector({"number": np.arange(3), "names": names})
    rows = [json.loads(row) for row in answer["row"]]
    assert [row["file"] for row in rows] == ["a", "b", odd]
    assert rows[0]["detections"] == rows[1]["detections"] != []
    assert rows[2]["error"] == f"{odd}: no such picture"
    assert answer["score"][0] == rows[0]["detections"][0]["score"]


CLASSES = ("red circle", "blue square")


class Heavy:
    """A predictor that one picture is too much for."""

    def outcomes(self, paths: list[str], batch_size: int) -> Any:
        for path in paths:
            yield Loaded(path, self(path))

    def __call__(self, path: str) -> DataError:
        if path == "HEAVY":
            raise RuntimeError("out of memory:\nask for less")
        return DataError(f"{path}: not a picture")


def test_what_fails_in_a_worker_fails_alone_and_says_why() -> None:
    detector = object.__new__(Detector)
    detector._work = Work("m", {}, {}, 4, 1)
    detector._predictor = Heavy()  # type: ignore[assignment]
    rows = [json.loads(row) for row in detector(block("a", "heavy", "b"))["row"]]
    assert [row["error"] for row in rows] == [
        "a: not a picture",
        "heavy: out of memory: ask for less",
        "b: not a picture",
    ]


@pytest.mark.parametrize(
    ("gpus", "workers", "share"), [(0, 3, 0), (1, 1, 1), (4, 3, 1), (1, 2, 0.5), (2, 3, 0.5)]
)
def test_all_workers_find_room_on_the_gpus(gpus: int, workers: int, share: float) -> None:
    assert gpu_share(gpus, workers) == share


@pytest.mark.parametrize(
    ("model", "device", "on_gpu"),
    [("a.safetensors", "auto", True), ("a.safetensors", "cpu", False), ("a.onnx", "auto", False)],
)
def test_what_goes_to_the_workers(model: str, device: str, on_gpu: bool, tmp_path: Path) -> None:
    options = {"device": device, "backend": "auto", "calibration": [Path("a.png")]}
    work = work_for(Cluster(None, 2, 1, True), tmp_path / model, options, {}, 1)
    assert work.on_gpu == on_gpu
    assert work.options["calibration"] == [os.path.abspath("a.png")]  # a worker has a folder of its own


def test_rays_word_for_this_machine_opens_no_door_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """S15: ``--address local`` is this machine, with its loopback and without a dashboard."""
    pytest.importorskip("ray", reason="needs the extra cluster")
    asked = []

    def start(address: str, workers: int | None, options: dict[str, Any]) -> Cluster:
        asked.append((address, options))
        return Cluster(None, 1, 0, True)

    monkeypatch.setattr("foveal.cluster.start._start", start)
    for address in ("local", None):
        with ray_cluster(address, 1):
            pass
    for address, options in asked:
        assert address == "local"
        assert (options["include_dashboard"], options["_node_ip_address"]) == (False, "127.0.0.1")
    # Ray must not start once more by itself, in whatever thread, where none of this is said.
    assert os.environ["RAY_ENABLE_AUTO_CONNECT"] == "0"
