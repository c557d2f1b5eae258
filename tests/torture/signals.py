"""R6 whole: ``foveal train`` stopped 15 times by SIGTERM or Ctrl-C and gone on with; and the other commands, too.

Ctrl-C goes to every process of the command, as from a terminal; SIGTERM to the one that was started, and once to
every one, as systemd and SLURM send it. A signal is sent once the command listens: before, Python itself starts.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from frame import ENVIRONMENT, FOVEAL, Place, Verdict, error_lines
from kills import Life, Undisturbed, undisturbed, wait, words
from runs_of import children, differing, digest, progress, steps_saved, stray_files, write_config

KINDS = {
    "starting": 2,
    "working": 2,
    "validating": 1,
    "saving": 2,
    "every process": 1,
    "twice": 1,
    "measuring": 6,
}
"""What training is at; ``twice``: a second Ctrl-C soon after the first."""
STEPS = 240
PICTURES = 1500
"""For predict and doctor to be at."""
SIGNALS = 10
"""Not fewer: on a fast machine the measuring may be over before one is sent."""
LIMIT = 10.0
"""Seconds."""
MEASURING = 2.0
"""Seconds after the last step, of evaluation and report: about as long as they take."""


class Stop(NamedTuple):
    """How a command ended after a signal."""

    code: int
    seconds: float
    text: str
    """What it said."""
    too_late: bool
    """Whether it had said its last line before the signal was sent."""

    def faults(self, number: int) -> Iterator[str]:
        """What is not as promised: one line, the code, in time."""
        lines = error_lines(self.text)
        if self.too_late and self.code == 0 and not lines:
            return
        if self.code != 128 + number:
            yield f"exit code {self.code}: {self.text[-300:]}"
        if self.seconds > LIMIT:
            yield f"ended after {self.seconds:.1f} s"
        if len(lines) != 1 or "Traceback" in self.text or "Exception ignored" in self.text:
            yield f"said {lines or self.text[-300:]}"


class Command(Life):
    """A command in a process group of its own, so that Ctrl-C can be sent to it alone."""

    def __init__(self, work: Path, arguments: list[str], log: Path, **variables: str) -> None:
        # Started in the background, children would be deaf to it.
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.run = work / "runs" / "killed"
        self.began = time.time_ns()
        self.log, self._from = log, log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [*FOVEAL, *arguments],
                cwd=work, stdout=file, stderr=file, env={**ENVIRONMENT, **variables}, process_group=0,
            )  # fmt: skip

    def listens(self) -> bool:
        """Wait until it has a handler for SIGTERM; False where it ends before."""
        return self.until(self._has_handler)

    def _has_handler(self) -> bool:
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            caught = next(line for line in lines if line.startswith("SigCgt:"))
            return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
        return False

    def stop(self, number: int, everyone: bool = False, again: float | None = None) -> Stop:
        """Send it, and wait for the end. everyone: to each process; again: seconds to a second one."""
        too_late = "\nrun folder: " in self.said()
        began = time.monotonic()
        loaders = children(self.process.pid) if everyone else []
        for pid in [*loaders, self.process.pid]:
            with suppress(ProcessLookupError):
                (os.killpg if number == signal.SIGINT else os.kill)(pid, number)
        if again is not None:
            self.until(lambda: time.monotonic() > began + again)
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        return Stop(self.process.returncode, time.monotonic() - began, self.said(), too_late)

    def said(self) -> str:
        """What it has said until now."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace")


def run(place: Place) -> Verdict:
    """Ten signals against none, and those to other commands."""
    chance = random.Random(place.seed)
    write_config(place.work, STEPS)
    config = place.work / "tiny.yaml"  # with more pictures, to have time in validation
    config.write_text(config.read_text().replace("pictures: 10", "pictures: 60"))
    usual = undisturbed(place.work)
    stops, wrong, validating, slowest = stopped_training(place.work, usual, chance)
    others, faults = other_commands(place, chance)
    for line in [*wrong, *faults]:
        print(f"WRONG: {line}")
    whole, killed = place.work / "runs" / "undisturbed", place.work / "runs" / "killed"
    # A stopped run writes the row that it was at, so the means around it are over fewer steps.
    same, other = digest(whole) == digest(killed), set(differing(whole, killed)) - {"metrics.csv"}
    print(f"SHA-256: {digest(whole)} undisturbed, {digest(killed)} stopped")
    found = (
        f"{stops} signals ({validating} came in a validation), the slowest end after {slowest:.1f} s, SHA-256 of "
        f"model, optimiser and average {'equal' if same else 'DIFFERENT'}, weights and figures "
        f"{sorted(other) or 'equal'}, "
        f"{len(stray_files(killed))} stray; {others} signals to predict, evaluate, export, doctor; "
        f"{len(wrong) + len(faults)} faults"
    )
    kept = same and not other and not wrong and not faults and not stray_files(killed)
    return Verdict(kept and validating > 0 and stops >= SIGNALS, found)


def stopped_training(
    work: Path, usual: Undisturbed, chance: random.Random
) -> tuple[int, list[str], int, float]:
    """Signals that were sent, what was wrong, how many came in a validation, seconds of the slowest end."""
    kinds = [kind for kind, count in KINDS.items() for _ in range(count) if kind != "measuring"]
    chance.shuffle(kinds)
    kinds += ["measuring"] * KINDS["measuring"]  # when there is nothing left to train
    wrong, sent, validating, slowest, saved = [], 0, 0, 0.0, 0
    for count, kind in enumerate(kinds, start=1):
        life = Command(work, ["train", *words(work)], work / "train.log")
        life.listens()
        interrupt = kind == "twice" or (count % 2 and kind != "every process")
        number = signal.SIGINT if interrupt else signal.SIGTERM
        moment = at(life, kind, usual, chance)
        over = life.process.poll()
        if over is not None and (over or kind != "measuring"):
            wrong.append(f"{kind}: ended by itself with {over}")
            return sent, wrong, validating, slowest
        sent += over is None
        end = life.stop(number, kind == "every process", chance.uniform(0, 0.3) if kind == "twice" else None)
        found = [f"signal {count}, {moment}: {fault}" for fault in end.faults(number)]
        # What comes while it trains must lose nothing; a second Ctrl-C gives up what the first would have saved.
        at_work = kind in ("working", "validating", "saving", "every process")
        if at_work and "nothing lost" not in end.text:
            found.append(f"signal {count}, {moment}: {end.text[-200:]}")
        before, saved = saved, steps_saved(life.run)
        if saved < before + at_work:
            found.append(f"signal {count}, {moment}: step {saved} saved, {before} before")
        validating += bool(progress(life.run).get("validation_due"))
        slowest = max(slowest, end.seconds)
        wrong += found
        took = f"{end.code} after {end.seconds:.1f} s"
        print(f"signal {count:2}: {number.name} {moment}, {took}, step {saved} saved", flush=True)
    code = Command(work, ["train", *words(work)], work / "train.log").process.wait()
    return sent, [*wrong, *([f"the last --resume ends with {code}"] if code else [])], validating, slowest


def at(life: Command, kind: str, usual: Undisturbed, chance: random.Random) -> str:
    """Wait for a moment of a kind; what it was."""
    if kind == "validating":
        life.until(life.has_saved)
        rows = life.run / "metrics.csv"
        before = rows.stat().st_size
        life.until(lambda: rows.stat().st_size > before)  # a row is written where a validation begins
        return "when a validation began"
    if kind == "measuring":
        life.until(lambda: "\ntrained: " in life.said(), pause=0.02)
        seconds = chance.uniform(0, MEASURING)
        end = time.monotonic() + seconds
        life.until(lambda: time.monotonic() >= end)
        return f"measuring, after {seconds:.2f} s"
    plain = {"every process": "working", "twice": "working"}.get(kind, kind)
    return f"{wait(life, plain, usual, chance)}{f', {kind}' if plain != kind else ''}"


# ---------------------------------------------------------------- other commands


def other_commands(place: Place, chance: random.Random) -> tuple[int, list[str]]:
    """Signals sent to each command, at any moment and at its work; what was wrong."""
    work, wrong, count = place.work / "others", [], 0
    (work / "many").mkdir(parents=True)
    pictures = sorted(path for path in place.pictures.iterdir() if path.is_file())
    for number in range(PICTURES):
        source = pictures[number % len(pictures)]
        (work / "many" / f"{number:05}{source.suffix}").write_bytes(source.read_bytes())
    model = str(place.work / "runs" / "undisturbed" / "best.safetensors")
    temporary = work / "temporary"
    commands: dict[str, tuple[list[str], Callable[[], bool]]] = {
        "predict": (["predict", model, "many", "-o", "found"], (work / "found" / "detections.jsonl").exists),
        "evaluate": (["evaluate", model, "--data", "../tiny.yaml", "-o", "evaluated.json"], lambda: True),
        "export": (["export", model, "-o", "m.onnx"], lambda: any(temporary.glob("foveal-export-*"))),
        "doctor": (["doctor", "many", "--json", "doctor.json"], lambda: True),
    }
    for name, (arguments, at_work) in commands.items():
        for kind in ("anywhere", "at work"):
            for number in (signal.SIGTERM, signal.SIGINT):
                faults = stop_command(
                    work, temporary, arguments, at_work if kind == "at work" else None, number, chance
                )
                count += 1
                print(f"{name}, {kind}, {number.name}: {'; '.join(faults) or 'as promised'}", flush=True)
                wrong += [f"{name}, {kind}, {number.name}: {fault}" for fault in faults]
    return count, wrong


def stop_command(
    work: Path,
    temporary: Path,
    arguments: list[str],
    at_work: Callable[[], bool] | None,
    number: signal.Signals,
    chance: random.Random,
) -> list[str]:
    """Start one command, stop it, and look at what it leaves. at_work: from then on; None: at any moment."""
    temporary.mkdir(exist_ok=True)
    before = {path.name for path in work.iterdir()}
    life = Command(work, arguments, work.parent / "others.log", TMPDIR=str(temporary))
    life.listens()
    if at_work is not None:
        life.until(at_work)
    seconds = chance.uniform(0, 2 if at_work is None else 0.5)
    end = time.monotonic() + seconds
    life.until(lambda: time.monotonic() >= end)
    if life.process.poll() is not None:
        return [f"ended by itself with {life.process.returncode}"]
    faults = list(life.stop(number).faults(number))
    # torch makes an empty folder for each user; what was predicted until then is promised to be kept.
    left = {path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")}
    left |= {path.name for path in work.iterdir()} - before - {"found"}
    if left:
        faults.append(f"left {sorted(left)}")
    shutil.rmtree(work / "found", ignore_errors=True)
    with suppress(ProcessLookupError):
        os.killpg(life.process.pid, 0)
        faults.append("left a process")
    return faults
