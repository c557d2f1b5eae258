"""R1 whole: ``foveal train``, killed with SIGKILL twenty times, each time gone on with by ``--resume``.

The moments are drawn: while it starts, while it trains or validates, inside the writing of a file, and after the
last step, while it is measured. What a kill inside a writing leaves, a temporary file, is looked for.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from frame import ENVIRONMENT, FOVEAL, Place, Verdict
from runs_of import children, differing, digest, progress, start_time, steps_saved, stray_files, write_config

from foveal.engine.saving import LAST, PREVIOUS

KINDS = {"starting": 4, "working": 8, "saving": 7, "measuring": 1}
"""Kills by what the run is at; ``measuring`` comes last, when there is nothing left to train."""
STEPS = 240
"""30 epochs: more than twice as many saves as kills."""
INSIDE = 3
"""So many kills must be seen to have come inside a save."""
WORKERS_LEAVE = 15.0
"""Seconds after which a loader process of a killed run must be gone; torch looks every five."""


class Undisturbed(NamedTuple):
    """What the run takes when nothing happens to it."""

    start: float
    """Seconds until its first state is saved."""
    epoch: float
    """Seconds from one saved state to the next, in the mean."""


class Life:
    """One ``foveal train``, from its start to its kill."""

    def __init__(self, work: Path, arguments: list[str]) -> None:
        self.run = work / "runs" / "killed"
        self.began = time.time_ns()
        self.process = start(work, arguments)
        self.loaders: dict[int, str] = {}

    def until(self, condition: Callable[[], bool], pause: float = 0.001) -> bool:
        """Wait; False where the process has ended before."""
        while self.process.poll() is None:
            if condition():
                return True
            if pause:
                time.sleep(pause)
        return False

    def has_saved(self) -> bool:
        """Whether this life has saved a state."""
        with suppress(FileNotFoundError):
            return (self.run / LAST).stat().st_mtime_ns > self.began
        return False

    def kill(self) -> None:
        """SIGKILL, to the process that trains alone."""
        self.loaders = {pid: start_time(pid) for pid in children(self.process.pid)}
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def run(place: Place) -> Verdict:
    """Twenty kills against none."""
    chance = random.Random(place.seed)
    write_config(place.work, STEPS)
    usual = undisturbed(place.work)
    kinds = [kind for kind, count in KINDS.items() for _ in range(count) if kind != "measuring"]
    chance.shuffle(kinds)
    kills, inside, loaders, saved = 0, 0, {}, 0
    for number, kind in enumerate([*kinds, "measuring"], start=1):
        life = Life(place.work, words(place.work))
        moment = wait(life, kind, usual, chance)
        life.kill()
        if life.process.returncode != -signal.SIGKILL:
            return Verdict(False, f"ended by itself with {life.process.returncode} before kill {number}")
        kills += 1
        loaders |= life.loaders
        left = [name for name in stray_files(life.run) if (life.run / name).stat().st_mtime_ns > life.began]
        inside += bool(left)
        before, saved = saved, steps_saved(life.run)
        inner = (f"inside {name}" for name in left)
        print(f"kill {number:2}: {moment}, step {saved} saved", *inner, sep="; ", flush=True)
        if saved < before + (kind in ("working", "saving")):
            return Verdict(False, f"not gone on with: step {saved} after kill {number}, {before} before")
    code = start(place.work, words(place.work)).wait()
    return judge(place.work, code, kills, inside, loaders)


def undisturbed(work: Path) -> Undisturbed:
    """Run it whole, and look how long it takes."""
    began, file = time.monotonic(), work / "runs" / "undisturbed" / LAST
    process = start(work, ["tiny.yaml", "--name", "undisturbed"])
    while process.poll() is None and not file.exists():
        time.sleep(0.01)
    first = time.monotonic() - began
    if process.wait():
        raise RuntimeError(f"the undisturbed run ends with {process.returncode}")
    return Undisturbed(first, (time.monotonic() - began - first) / (STEPS / 8))


def start(work: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    """``foveal train`` at work; what it says goes to train.log."""
    with (work / "train.log").open("ab") as log:
        return subprocess.Popen(
            [*FOVEAL, "train", *arguments], cwd=work, stdout=log, stderr=log, env=ENVIRONMENT
        )


def words(work: Path) -> list[str]:
    """How a person goes on: --resume, or anew where nothing had been saved yet."""
    run = work / "runs" / "killed"
    if any((run / name).exists() for name in (LAST, PREVIOUS)):
        return ["--resume", "runs/killed"]
    shutil.rmtree(run, ignore_errors=True)
    return ["tiny.yaml", "--name", "killed"]


def wait(life: Life, kind: str, usual: Undisturbed, chance: random.Random) -> str:
    """Wait for a moment of a kind; what it was."""
    if kind in ("saving", "working"):
        life.until(life.has_saved)
    if kind == "saving":
        file = life.run / chance.choice([".last.safetensors.tmp", "resume/.last.ckpt.tmp"])
        life.until(file.exists, pause=0)
        return f"when {file.name} was seen"
    if kind == "measuring":
        life.until(lambda: bool(progress(life.run).get("stopped")), pause=0.02)
    seconds = chance.uniform(0, {"starting": usual.start, "working": usual.epoch, "measuring": 2}[kind])
    end = time.monotonic() + seconds
    # Where the machine has become faster, a start is over before the time that it took.
    life.until(lambda: time.monotonic() >= end or (kind == "starting" and life.has_saved()))
    return f"{kind}, after {seconds:.2f} s"


def judge(work: Path, code: int, kills: int, inside: int, loaders: dict[int, str]) -> Verdict:
    """Whether the killed run has come to what the undisturbed one has."""
    whole, killed = work / "runs" / "undisturbed", work / "runs" / "killed"
    if code:
        print((work / "train.log").read_text())
        return Verdict(False, f"the last --resume ends with {code}")
    sums = digest(whole), digest(killed)
    end = time.monotonic() + WORKERS_LEAVE
    while (
        alive := [pid for pid, when in loaders.items() if when and start_time(pid) == when]
    ) and time.monotonic() < end:
        time.sleep(0.2)
    other, stray = differing(whole, killed), stray_files(killed)
    folders = sorted(path.name for path in (work / "runs").iterdir())
    kept = sums[0] == sums[1] and not other and not stray and not alive and inside >= INSIDE
    kept = kept and bool(loaders) and folders == ["killed", "undisturbed"]
    print(f"SHA-256: {sums[0]} undisturbed, {sums[1]} killed")
    return Verdict(
        kept,
        f"{kills} SIGKILLs, {inside} of them inside a save: SHA-256 of model, optimiser and average "
        f"{'equal' if sums[0] == sums[1] else 'DIFFERENT'} ({sums[1][:12]}); "
        f"metrics, evaluation and weight files {'DIFFER: ' + ', '.join(other) if other else 'equal'}; "
        f"{len(stray)} stray files, {len(alive)} of {len(loaders)} loader processes left",
    )
