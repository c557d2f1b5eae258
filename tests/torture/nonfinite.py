"""R5 whole: losses and gradients that are not finite, put into ``foveal train`` from outside, and replayed.

The hook (``spoiling.py``) spoils what the criterion gives at the steps that are asked for, in one of a step's
micro-batches, and looks at every weight after every step: a spoilt step has to leave them as they were, any other
has to change them. In a replay it spoils the same boxes again, and no others: so a replay that finds the fault was
given the batch that had it. One run has no hook: its rate is such that it overflows by itself.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import spoiling
from forked import Done, forked, foveal, process, warm
from frame import Place, Verdict, error_lines
from runs_of import LAST, write_config
from spoiling import ALONE, HOOK, IN_A_ROW, LOG, Case, finite, spoil

from foveal.checkpoint.format import load_checkpoint
from foveal.engine.saving import load_sealed
from foveal.errors import DivergedError

RATE = "training.optimizer={name: sgd, lr_per_16: 1.0e+25}"


CASES = [
    Case(kind, precision, accumulate, micro)
    for kind in ("nan", "inf", "gradient")
    for precision in ("fp32", "bf16")
    for accumulate, micro in ((1, 0), (4, 0), (4, 2))
]


def run(place: Place) -> Verdict:
    """Every case, the first as a process of its own, and the run without a hook."""
    warm()
    import foveal.verbs.replay
    import foveal.verbs.train  # noqa: F401

    wrong: list[str] = []
    for number, case in enumerate(CASES):
        folder = place.work / str(number)
        folder.mkdir()
        write_config(folder, 40)
        found = list(judge(case, folder, as_process if number == 0 else as_fork))
        print(f"{case}: {'; '.join(found) or 'as promised'}", flush=True)
        wrong += [f"{case}: {fault}" for fault in found]
    folder = place.work / "rate"
    folder.mkdir()
    write_config(folder, 40)
    found = list(by_itself(folder))
    print(f"by its rate: {'; '.join(found) or 'as promised'}", flush=True)
    wrong += found
    return Verdict(
        not wrong,
        f"{len(CASES)} runs (NaN, Inf, infinite gradient; fp32, bf16; 1 and 4 micro-batches), spoilt at steps 7, "
        f"8 and 12 to 21, and one that overflows by itself: {len(wrong)} faults; weights finite after every step, "
        "exit code 6, the spoilt pictures named, their batch replayed to the same tensor",
    )


def judge(case: Case, folder: Path, start: Callable[..., Done]) -> Iterator[str]:
    """What is not as promised of one run and its replay."""
    changes = [
        f"training.precision={case.precision}",
        f"training.accumulate={case.accumulate}",
        "data.workers=0",
    ]
    done = start(folder, case, "train", "tiny.yaml", *changes)
    rows = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    steps = [row["step"] for row in rows if row["spoilt"]]
    if steps != [*ALONE, *IN_A_ROW]:
        yield f"spoilt at steps {steps}"
    if bad := [row["step"] for row in rows if not row["finite"]]:
        yield f"weights not finite after steps {bad}"
    after = {row["step"]: row["weights"] for row in rows}  # of a step's micro-batches, after the last
    if odd := [step for step in after if step > 1 and (after[step] != after[step - 1]) == (step in steps)]:
        yield f"steps {odd}: left out though sound, or taken though spoilt"
    run_folder = folder / "runs" / "tiny"
    yield from ending(done, run_folder, [row for row in rows if row["spoilt"]][-1]["pictures"])
    said = [json.loads(line)["message"] for line in (run_folder / "health.jsonl").read_text().splitlines()]
    skipped = [line for line in said if "skipped (" in line]
    counts = [re.findall(r"\((\d+) in a row, (\d+) in all\)", line)[0] for line in skipped]
    if counts != [("1", "1"), ("2", "2"), *((str(n), str(n + 2)) for n in range(1, 10))]:
        yield f"counted {counts}"
    tensor = "loss " if case.kind != "gradient" else "gradient of"
    yield from replayed(done, run_folder, lambda *words: start(folder, case, *words), tensor)


def by_itself(folder: Path) -> Iterator[str]:
    """A run without a hook whose weights grow until the pass through the network overflows."""
    changes = ("training.clip_grad_norm=null", "training.schedule={name: constant}", RATE, "data.workers=0")
    norm = "model.architecture.backbone.params.batch_norm=trained"

    def start(*words: str) -> Done:
        return forked(foveal(*words), folder, 300)

    done = start("train", "tiny.yaml", *changes, norm)
    run_folder = folder / "runs" / "tiny"
    yield from ending(done, run_folder, None)
    yield from replayed(done, run_folder, start, "output of ")


def ending(done: Done, run_folder: Path, pictures: list[int] | None) -> Iterator[str]:
    """Exit code, line and files. pictures: that must be named, as ids and files; None: whatever is saved."""
    lines = error_lines(done.text)
    if done.code != DivergedError.exit_code or len(lines) != 1 or done.crashed:
        yield f"exit code {done.code}: {lines or done.text[-300:]}"
    saved = load_sealed(run_folder / "bad_batch.pt")
    if pictures is not None and saved["batch"]["image_ids"] != pictures:
        yield f"saved the batch of {saved['batch']['image_ids']}, spoilt was {pictures}"
    named = ", ".join(f"{i} (shape_{i:06d}.png)" for i in saved["batch"]["image_ids"])
    if f"pictures {named} (saved" not in "".join(lines):
        yield f"{named} are not named"
    kept: dict[str, Any] = {"bad_batch.pt": saved["model"]}
    if (run_folder / LAST).is_file():
        state = load_sealed(run_folder / LAST)
        kept |= {"last.ckpt": [state["model"], state["optimizer"], state["average"]]}
    for name in ("best", "last"):
        file = run_folder / f"{name}.safetensors"
        kept |= {name: load_checkpoint(file).state} if file.is_file() else {}
    yield from (
        f"{name} holds numbers that are not finite" for name, value in kept.items() if not finite(value)
    )


def replayed(done: Done, run_folder: Path, start: Callable[..., Done], tensor: str) -> Iterator[str]:
    """Do what the message tells. tensor: how the name of the first bad one must begin."""
    told = re.search(r"foveal (train --replay \S+) does the step again", done.text)
    if told is None:
        yield "no word of a replay"
        return
    again = start(*told[1].split())
    found = re.search(r"in float32: first bad tensor: (.*)", again.text)
    if again.code or found is None or not found[1].startswith(tensor):
        yield f"replay: exit code {again.code}: {again.text[-300:]}"
    for picture in load_sealed(run_folder / "bad_batch.pt")["batch"]["image_ids"]:
        if f"{picture} (shape_" not in again.text:
            yield f"replay does not name picture {picture}"


def as_fork(folder: Path, case: Case, *words: str) -> Done:
    """The command with the hook in it, in a fork."""

    def work() -> None:
        spoil(case)
        foveal(*words)()

    return forked(work, folder, 300)


def as_process(folder: Path, case: Case, *words: str) -> Done:
    """The same as a process of its own."""
    return process([sys.executable, spoiling.__file__, *words], folder, **{HOOK: json.dumps(case)})
