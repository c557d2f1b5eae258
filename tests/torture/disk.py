"""R3 whole: one run of ``foveal train`` that meets every way in which a disk can fail, one after another.

A full disk is a real one of a few megabytes (tmpfs; root only), filled until a write does not fit any more. Calls
are made to fail by a library of ours in front of libc (``failing_disk.c``; wants a C compiler). After each failure
the run is gone on with, into the next one; at last, without any, to the bits of an undisturbed run.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from frame import ENVIRONMENT, FOVEAL, Place, Verdict
from runs_of import differing, digest, stray_files, write_config

from foveal.checkpoint.format import load_checkpoint
from foveal.engine.saving import load_resume_state
from foveal.errors import DiskError, FovealError

HERE = Path(__file__).resolve().parent
STEPS = 48
DISK_MEGABYTES = 48


class Fault(NamedTuple):
    """One way to fail."""

    call: str
    """write, fsync, rename; or ``full``: of a real disk."""
    path: str
    """Part of the path that is hit. Of a full disk: when; any file may be the first to have no room then."""
    code: int = errno.EIO
    room: float = 0.0
    """Of a full disk: what is left, in sizes of ``last.safetensors``."""
    name: str = ""
    """What must be in the line that is said."""


WHILE_TRAINING = (
    Fault("full", "while it trains", errno.ENOSPC, name="/runs/failing/"),
    Fault("full", "from its start", errno.ENOSPC, name="/runs/failing/"),
    Fault("full", "no room for weights", errno.ENOSPC, 0.7, "last.safetensors"),
    Fault("full", "no room for a state", errno.ENOSPC, 1.7, "last.ckpt"),
    Fault("write", "/resume/.last.ckpt.tmp", name="last.ckpt"),
    Fault("fsync", "/resume/.last.ckpt.tmp", name="last.ckpt"),
    Fault("rename", "/resume/previous.ckpt", name="last.ckpt"),
    Fault("rename", "/resume/last.ckpt", name="last.ckpt"),
    Fault("write", "/.last.safetensors.tmp", errno.ENOSPC, name="last.safetensors"),
    Fault("write", "/failing/metrics.csv", errno.ENOSPC, name="metrics.csv"),
    Fault("write", "/tensorboard/", errno.ENOSPC, name="tensorboard"),
    Fault("write", "/.best.safetensors.tmp", errno.ENOSPC, name="best.safetensors"),
)
AFTER_TRAINING = (
    Fault("write", "/galleries/", errno.ENOSPC, name="galleries"),
    Fault("write", "/.evaluation.json.tmp", errno.ENOSPC, name="evaluation.json"),
    Fault("write", "/.best.safetensors.tmp", errno.ENOSPC, name="best.safetensors"),
)
REPORT = Fault("write", "/.report.html.tmp", errno.ENOSPC, name="report.html")
"""The run is done by then, and nothing of it is lost: said in a line, and no error."""


class Ended(NamedTuple):
    """How a command did."""

    code: int
    lines: list[str]
    """On stderr, but for warnings."""
    said: str
    """On stdout."""


def run(place: Place) -> Verdict:
    """Every fault in turn."""
    if missing := [name for name in ("cc", "mount", "umount") if shutil.which(name) is None]:
        return Verdict(False, f"not shown: no {missing[0]} here")
    library = place.work / "failing_disk.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(library), str(HERE / "failing_disk.c"), "-ldl"], check=True
    )
    write_config(place.work, STEPS)
    if (ended := train(place.work, "tiny.yaml", "--name", "undisturbed")).code:
        return Verdict(False, f"the undisturbed run ends with {ended.code}: {ended.lines}")
    try:
        with small_disk(place.work / "disk") as disk:
            return suffer(place.work, disk, library)
    except PermissionError:
        return Verdict(False, "not shown: mounting a small disk wants root")


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own; PermissionError where this user may not mount one."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    if subprocess.run(words, check=False).returncode:
        raise PermissionError(folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def suffer(work: Path, disk: Path, library: Path) -> Verdict:
    """One run through all faults to its end; what was not as promised is said."""
    run, step, faults = disk / "runs" / "failing", 0, []
    for number, fault in enumerate((*WHILE_TRAINING, *AFTER_TRAINING), start=1):
        ended = meet(fault, work, run, library)
        found = [*wrong(fault, ended), *lost(run, step)]
        step = load_resume_state(run, print)["progress"]["step"]
        print(
            f"{number:2} {fault.call} {fault.path}: exit code {ended.code}, step {step} kept: {ended.lines}"
        )
        print("".join(f"   WRONG: {each}\n" for each in found), end="", flush=True)
        faults += found
    ended = meet(REPORT, work, run, library)
    print(
        f"   report: exit code {ended.code}: {[line for line in ended.said.splitlines() if REPORT.name in line]}"
    )
    if ended.code or ended.lines or f"no report: {run / REPORT.name}" not in ended.said:
        faults.append(f"report: exit code {ended.code}, {ended.lines}")
    return judge(work, run, faults)


def judge(work: Path, run: Path, faults: list[str]) -> Verdict:
    """The run, gone on with for the last time, against the undisturbed one."""
    ended, undisturbed = train(work, "--resume", str(run)), work / "runs" / "undisturbed"
    equal = ended.code == 0 and digest(run) == digest(undisturbed) and not differing(run, undisturbed)
    stray = stray_files(run)
    counts = Counter(fault.call for fault in (*WHILE_TRAINING, *AFTER_TRAINING))
    met = ", ".join(f"{count} {call}" for call, count in counts.items())
    how = f"; the first: {faults[0]}" if faults else ""
    return Verdict(
        not faults and equal and not stray,
        f"{counts.total()} failures in one run ({met}), exit code 5, one line that names the file and the state "
        f"before that loads: {len(faults)} not so{how}; {len(stray)} stray files; gone on with to "
        f"{'equal' if equal else 'OTHER'} bits",
    )


def meet(fault: Fault, work: Path, run: Path, library: Path) -> Ended:
    """Begin the run, or go on with it, into a fault."""
    resumed = (run / "resume").is_dir()
    words = ["--resume", str(run)] if resumed else ["tiny.yaml", "--name", run.name, "-o", str(run.parent)]
    if fault.call != "full":
        failing = {"FAULT_CALL": fault.call, "FAULT_PATH": fault.path, "FAULT_CODE": str(fault.code)}
        return train(work, *words, LD_PRELOAD=str(library), **failing)
    disk = run.parents[1]
    if resumed:
        fill(disk, round(fault.room * (run / "last.safetensors").stat().st_size))
        ended = train(work, *words)
    else:
        ended = train(work, *words, when=(run / "resume" / "last.ckpt").exists, then=lambda: fill(disk, 0))
    (disk / "filler").unlink()
    return ended


def train(
    work: Path,
    *words: str,
    when: Callable[[], bool] = lambda: True,
    then: Callable[[], object] = lambda: None,
    **environment: str,
) -> Ended:
    """``foveal train`` to its end; ``then`` is done as soon as ``when`` holds."""
    process = subprocess.Popen(
        [*FOVEAL, "train", *words],
        cwd=work,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not when():
        time.sleep(0.005)
    then()
    said, errors = process.communicate()
    lines = [line for line in errors.splitlines() if not line.startswith("foveal: warning: ")]
    return Ended(process.returncode, lines, said)


def fill(disk: Path, room: int) -> None:
    """Write until so many bytes are left."""
    free = os.statvfs(disk)
    with (disk / "filler").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(1, free.f_bavail * free.f_frsize - room))


def wrong(fault: Fault, ended: Ended) -> list[str]:
    """What is not as it must be in the way in which a command ended."""
    found = [] if ended.code == DiskError.exit_code else [f"exit code {ended.code}"]
    if len(ended.lines) != 1 or not ended.lines[0].startswith("foveal: "):
        return [*found, f"{len(ended.lines)} lines: {' / '.join(ended.lines[-2:])}"]
    (line,) = ended.lines
    reason = os.strerror(fault.code)
    return found + [f"{part} not named: {line}" for part in (fault.name, reason) if part not in line]


def lost(run: Path, step: int) -> list[str]:
    """What is there no more, or too much: step is the one that was saved before."""
    found = [f"stray {name}" for name in stray_files(run)]
    try:
        saved = load_resume_state(run, found.append)["progress"]["step"]
        for name in ("last.safetensors", "best.safetensors"):
            load_checkpoint(run / name)
    except FovealError as error:
        return [*found, str(error)]
    return [*found, f"step {saved} after {step}"] if saved < step else found
