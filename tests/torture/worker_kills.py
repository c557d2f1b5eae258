"""R2 whole: processes under torchrun, of which one is killed with SIGKILL again and again.

Trains a small detector once undisturbed and once with kills, each of a random process: the first at a random
moment of its start, the others spread over the work, each a random while later. torchrun starts the processes
again by itself. Two processes, and three: from three on the order in which gradients are summed counts.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from frame import ENVIRONMENT, Place, Verdict
from runs_of import children, differing, digest, steps_saved, stray_files, write_config


class Group(NamedTuple):
    """Processes that train together."""

    processes: int
    kills: int
    steps: int

    @property
    def undisturbed(self) -> str:
        """Name of the run that nothing happens to."""
        return f"undisturbed-by-{self.processes}"

    @property
    def killed(self) -> str:
        """Name of the run whose processes are killed."""
        return f"killed-by-{self.processes}"


GROUPS = (Group(2, 5, 96), Group(3, 3, 24))
"""Twelve epochs each, and a state is saved after every one."""


def run(place: Place) -> Verdict:
    """All groups; each against itself."""
    verdicts = [one(place.work, group, random.Random(place.seed)) for group in GROUPS]
    return Verdict(
        all(verdict.kept for verdict in verdicts), "; ".join(verdict.found for verdict in verdicts)
    )


def one(root: Path, group: Group, chance: random.Random) -> Verdict:
    """One group, undisturbed and killed."""
    write_config(root, group.steps)
    whole = start(root, group.undisturbed, group).wait()
    running = start(root, group.killed, group)
    moments = []
    for moment in kill(running, root / "runs" / group.killed, group, chance):
        print(f"kill {len(moments) + 1} of {group.kills}: {moment}", flush=True)
        moments.append(moment)
    code, said = running.wait(), (root / f"{group.killed}.log").read_text()
    runs = root / "runs" / group.undisturbed, root / "runs" / group.killed
    folders = sorted(path.name for path in (root / "runs").glob(f"*-by-{group.processes}*"))
    if code or whole or folders != [group.killed, group.undisturbed]:
        print(said)
        return Verdict(
            False, f"{group.processes} processes: exit codes {whole}, {code}; {', '.join(folders)}"
        )
    # A process that outlives the killed one writes the row that it was at, so metrics.csv may have one more.
    sums, other = [digest(run) for run in runs], set(differing(*runs)) - {"metrics.csv"}
    print(f"SHA-256: {sums[0]} undisturbed, {sums[1]} killed")
    kept = sums[0] == sums[1] and not other and not stray_files(runs[1]) and len(moments) == group.kills
    # The first kill may come before there is a state; after the others the run must not begin anew.
    kept = kept and "torchrun: going on with" in said and said.count("torchrun: beginning anew") <= 1
    return Verdict(
        kept,
        f"{group.processes} processes, {len(moments)} SIGKILLs: exit code {code}, SHA-256 "
        f"{'equal' if sums[0] == sums[1] else 'DIFFERENT'} ({sums[1][:12]}), "
        f"other results {'DIFFER: ' + ', '.join(other) if other else 'equal'}",
    )


def start(root: Path, name: str, group: Group) -> subprocess.Popen[bytes]:
    """torchrun at work; what it says goes to NAME.log."""
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(group.processes)]
    words += ["--max-restarts", str(group.kills), "-m", "foveal", "train", "tiny.yaml", "--name", name]
    with (root / f"{name}.log").open("wb") as log:
        return subprocess.Popen(words, cwd=root, stdout=log, stderr=log, env=ENVIRONMENT)


def kill(running: subprocess.Popen[bytes], run: Path, group: Group, chance: random.Random) -> Iterator[str]:
    """Kill one process after another; what each kill was."""
    for number in range(group.kills):
        wanted = number * group.steps // group.kills
        while running.poll() is None and (step := steps_saved(run)) < wanted:
            time.sleep(0.02)
        while running.poll() is None and len(workers := children(running.pid)) < group.processes:
            time.sleep(0.02)
        if running.poll() is not None:
            return
        # A start takes seconds, a step a fraction of one, a save less.
        seconds = chance.uniform(0, 8 if number == 0 else 3)
        time.sleep(seconds)
        rank = chance.randrange(len(workers))
        try:
            os.kill(workers[rank], signal.SIGKILL)
        except ProcessLookupError:
            return
        yield f"process {rank} of {len(workers)}, {seconds:.2f} s after step {step} was saved"
        while running.poll() is None and not set(workers).isdisjoint(children(running.pid)):
            time.sleep(0.02)
