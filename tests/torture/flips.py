"""R4 whole: checkpoints and resume states with a flipped bit, or cut off, given to every command that reads one.

Every damaged file goes to the command itself, in a fork; some to a process of its own. Where a run has a whole
state before the damaged one, it is taken: by the reader for every damage, and by whole runs, to the same bits.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from forked import Done, forked, foveal, process, warm
from frame import ENVIRONMENT, FOVEAL, Place, Verdict, error_lines
from runs_of import LAST, digest, write_config

from foveal.engine.saving import DAMAGED, PREVIOUS, load_resume_state

FLIPS = 200
IN_STRUCTURE = 60
"""Flips besides, where a file says what is in it: a safetensors file at its start, a state at its end."""
CUTS = 60
STRUCTURE = 30_000
"""Bytes of that part."""
AS_PROCESS = [first + turn for first in (0, FLIPS, FLIPS + IN_STRUCTURE) for turn in range(2)]
"""Damaged files, two of each kind, that every command is given as a process of its own, too."""
FALL_BACKS = 3
STEPS = 24
REFUSED = 4


def run(place: Place) -> Verdict:
    """Damage, and look at what each command says."""
    work, chance = place.work, random.Random(place.seed)
    words = [*FOVEAL, "train", write_config(work, STEPS), "--name", "undisturbed"]
    subprocess.run(words, cwd=work, env=ENVIRONMENT, check=True, capture_output=True)
    whole = work / "runs" / "undisturbed"
    warm()
    import foveal.verbs.evaluate
    import foveal.verbs.export
    import foveal.verbs.train  # noqa: F401

    wrong = [*accepted(work, whole), *checkpoints(work, whole, chance), *states(work, whole, chance)]
    seen, given = fallen_back(work, whole, chance)
    wrong += given
    for line in wrong[:20]:
        print(f"WRONG: {line}")
    found = (
        f"{FLIPS} flips, {IN_STRUCTURE} more in headers and {CUTS} cuts of checkpoints, each to "
        f"{len(readers(work))} commands, and as many of resume states: {len(wrong)} not refused by name with 4; "
        f"{seen} of {FALL_BACKS} runs went on from the state before to the same bits"
    )
    return Verdict(not wrong and seen == FALL_BACKS, found)


def damages(content: bytes, chance: random.Random, at_start: bool) -> Iterator[tuple[str, bytes]]:
    """What was done, and the damaged content. at_start: where the file says what is in it."""
    for number in range(FLIPS + IN_STRUCTURE):
        first, last = 0, len(content)
        if number >= FLIPS:
            first, last = (0, STRUCTURE) if at_start else (len(content) - STRUCTURE, len(content))
        flipped, byte, bit = bytearray(content), chance.randrange(first, last), chance.randrange(8)
        flipped[byte] ^= 1 << bit
        yield f"bit {bit} of byte {byte}", bytes(flipped)
    for _ in range(CUTS):
        length = chance.randrange(len(content))
        yield f"cut to {length} bytes", content[:length]


def readers(work: Path) -> dict[str, tuple[str, ...]]:
    """The commands that read a checkpoint, with it as ``model.safetensors``."""
    model, pictures = "model.safetensors", str(work / "pictures")
    return {
        "predict": ("predict", model, pictures, "-o", "found"),
        "evaluate": ("evaluate", model),
        "export": ("export", model, "--to", "torch", "--no-gate", "-o", "model.pt2"),
        "train": ("train", "tiny.yaml", "--from", model, "training.max_steps=1", "data.workers=0"),
    }


def accepted(work: Path, whole: Path) -> Iterator[str]:
    """Without damage every command does its work: so it is the damage that is refused."""
    from foveal.data.shapes import make_shapes, write_shapes

    write_shapes(make_shapes(2, 2, 64), work / "shapes")
    (work / "shapes" / "images").rename(work / "pictures")
    for name, words in readers(work).items():
        folder = fresh(work, (whole / "best.safetensors").read_bytes())
        done = forked(foveal(*words), folder, 120)
        if done.code:
            yield f"{name} of a whole file: exit code {done.code}: {done.text[-200:]}"


def checkpoints(work: Path, whole: Path, chance: random.Random) -> Iterator[str]:
    """Both checkpoints of a run, in turn."""
    contents = [(whole / name).read_bytes() for name in ("best.safetensors", "last.safetensors")]
    kinds: Counter[str] = Counter()
    for turn, both in enumerate(
        zip(*(damages(content, chance, at_start=True) for content in contents), strict=True)
    ):
        what, content = both[turn % 2]
        folder = fresh(work, content)
        before = names(folder)
        for name, words in readers(work).items():
            done = forked(foveal(*words), folder, 60)
            yield from faults(f"{name}, {what}", done, "model.safetensors")
            kinds[reason(done)] += 1
            if names(folder) != before:
                yield f"{name}, {what}: left {sorted(names(folder) - before)}"
                folder = fresh(work, content)
            if turn in AS_PROCESS:
                again = process([*FOVEAL, *words], folder)
                yield from faults(f"{name}, {what}, as a process", again, "model.safetensors")
    print("checkpoints:", *(f"{count} x {text}" for text, count in kinds.most_common()), sep="\n   ")


def states(work: Path, whole: Path, chance: random.Random) -> Iterator[str]:
    """The resume state of a run that has no other; and the reader's fall-back where there is one."""
    content = (whole / LAST).read_bytes()
    older = load_resume_state(alone(work, whole, (whole / PREVIOUS).read_bytes()), print)["progress"]["step"]
    for turn, (what, damaged) in enumerate(damages(content, chance, at_start=False)):
        folder = alone(work, whole, damaged)
        words = ("train", "--resume", str(folder))
        yield from faults(f"resume, {what}", forked(foveal(*words), work, 60), f"{folder}/{LAST}")
        if turn in AS_PROCESS:
            again = process([*FOVEAL, *words], work)
            yield from faults(f"resume, {what}, as a process", again, f"{folder}/{LAST}")
        shutil.copy(whole / PREVIOUS, folder / PREVIOUS)
        said: list[str] = []
        step = load_resume_state(folder, said.append)["progress"]["step"]
        if step != older or len(said) != 1 or f"{LAST}: damaged" not in said[0] or "\n" in said[0]:
            yield f"fall-back, {what}: step {step} for {older}, said {said}"
        if (folder / LAST).exists() or (folder / DAMAGED).read_bytes() != damaged:
            yield f"fall-back, {what}: the damaged state was not put aside"


def fallen_back(work: Path, whole: Path, chance: random.Random) -> tuple[int, list[str]]:
    """Runs that had to go on from the state before, whose bits are the undisturbed run's; what was wrong."""
    wrong, same = [], 0
    content = (whole / LAST).read_bytes()
    for number in range(FALL_BACKS):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        folder = alone(work, whole, bytes(flipped) if number else content[: chance.randrange(len(content))])
        for name in (PREVIOUS, "best.safetensors", "last.safetensors"):
            shutil.copy(whole / name, folder / name)
        done = process([*FOVEAL, "train", "--resume", folder], work)
        told = [line for line in done.text.splitlines() if "going on from resume/previous.ckpt" in line]
        if done.code or len(told) != 1 or done.crashed:
            wrong.append(f"run {number}: exit code {done.code}, {told}: {done.text[-300:]}")
        same += digest(folder) == digest(whole)
    return same, wrong


def fresh(work: Path, content: bytes) -> Path:
    """A folder with nothing but a checkpoint and a configuration."""
    folder = work / "given"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(content)
    shutil.copy(work / "tiny.yaml", folder)
    return folder


def alone(work: Path, whole: Path, content: bytes) -> Path:
    """A copy of the run with one resume state."""
    folder = work / "runs" / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "resume").mkdir(parents=True)
    shutil.copy(whole / "config.yaml", folder)
    shutil.copy(whole / "metrics.csv", folder)
    (folder / LAST).write_bytes(content)
    return folder


def names(folder: Path) -> set[str]:
    """All that is in it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def faults(what: str, done: Done, file: str) -> Iterator[str]:
    """What is wrong with a refusal: one line, by name, exit code 4."""
    if done.crashed:
        yield f"{what}: {done.crashed}"
    lines = error_lines(done.text)
    if done.code != REFUSED or len(lines) != 1 or not lines[0].startswith(f"foveal: {file}: "):
        yield f"{what}: exit code {done.code}, {lines or done.text[-200:]}"


def reason(done: Done) -> str:
    """What was said of a file, without its name."""
    return (error_lines(done.text) or ["nothing"])[-1].rpartition("model.safetensors: ")[2]
