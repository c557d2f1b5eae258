"""S10: paths that lead outside, in data sets, predictions and archives: nothing outside is read or written.

Each case has a folder of data (``inside``), one that is none of its business (``secret``), one for what is written
(``out``) and one for temporary files. Python tells of every file, folder and socket that a command opens; what
libraries do by themselves is seen by the SHA-256 of every file before and after, and by a word that must not come
out.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from forked import Done, forked, warm
from frame import Place, Verdict
from outside_box import CANARY, Box
from outside_labels import LABELS
from outside_models import MODELS

CASES = {**LABELS, **MODELS}
READS = {"os.listdir": 0, "os.scandir": 0, "os.readlink": 0}
WRITES = {
    "os.mkdir": 0, "os.rmdir": 0, "os.remove": 0, "os.truncate": 0, "os.chmod": 0, "os.utime": 0, "os.symlink": 1,
    "os.link": 1, "os.rename": 1, "shutil.rmtree": 0, "shutil.copyfile": 1, "shutil.move": 1,
    "shutil.unpack_archive": 1,
}  # fmt: skip
"""Events of Python (its table of audit events), and which of their arguments is the path."""
OTHERS = ("socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def run(place: Place) -> Verdict:
    """Every case; what was seen outside is printed."""
    warm()
    faults: list[str] = []
    commands = 0
    for name, make in CASES.items():
        root = place.work / name.replace(" ", "_")
        box = Box(root, place.model, place.pictures)
        work = make(box)
        before = sums(box)
        for step in work:
            done = forked(watched(step.work, box), box.out)
            commands += 1
            told = f"{name}, {' '.join(step.words[:2])}"
            faults += [f"{told}: {fault}" for fault in judge(box, done, step.says, step.reads)]
        after = sums(box)
        faults += [f"{name}: {path} was changed or made" for path in sorted(before.items() ^ after.items())]
        faults += [f"{name}: {path} holds what is outside" for path in leaks(box)]
    print("\n".join(faults))
    return Verdict(
        not faults,
        f"{len(CASES)} cases, {commands} commands: {len(faults)} files read or written outside, not named, or not "
        "read inside",
    )


def sums(box: Box) -> dict[str, str]:
    """SHA-256 of every file but those in ``out``, of links where they lead."""
    found = {}
    for path in [*box.inside.rglob("*"), *box.secret.rglob("*"), *box.root.iterdir()]:
        if path not in (box.out, box.root / "events.json"):
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            elif path.is_file():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[str(path)] = "folder"
    return found


def leaks(box: Box) -> Iterator[Path]:
    """Files in ``out`` with the word of the secret ones, or that are one of them."""
    secret = {hashlib.sha256(path.read_bytes()).digest() for path in box.secret.rglob("*") if path.is_file()}
    for path in box.out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if CANARY.encode() in content or hashlib.sha256(content).digest() in secret:
                yield path


def watched(work: Callable[[], object], box: Box) -> Callable[[], None]:
    """The same, with every file, folder and socket written down in ``events.json``."""

    def with_events() -> None:
        os.environ["TMPDIR"] = tempfile.tempdir = str(box.temporary)
        events: list[list[Any]] = []

        def hook(event: str, values: tuple[Any, ...]) -> None:
            if event == "open" and isinstance(values[0], str | bytes):
                flags = values[2] if isinstance(values[2], int) else 0
                events.append(["write" if flags & WRITING else "read", place_of(values[0])])
            elif event in READS and isinstance(values[0], str | bytes):
                events.append(["read", place_of(values[0])])
            elif event in WRITES:
                events.append(["write", place_of(values[WRITES[event]], last=False)])
            elif event in OTHERS:
                events.append([event, repr(values[1] if event == "socket.connect" else values[0])])

        sys.addaudithook(hook)
        try:
            work()
        finally:
            (box.root / "events.json").write_text(json.dumps(events, default=repr))

    return with_events


def place_of(path: Any, last: bool = True) -> str:
    """Where a path leads; last: with the link that it may be."""
    name = os.fsdecode(path)
    try:
        return (
            os.path.realpath(name)
            if last
            else os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
        )
    except ValueError:  # a NUL
        return name


def judge(box: Box, done: Done, says: str, reads: bool) -> Iterator[str]:
    """What is wrong with a command: crashed, outside, silent, or with nothing done at all."""
    if done.crashed:
        yield f"{done.crashed}: {done.text[-500:]}"
    events = json.loads((box.root / "events.json").read_text())
    for kind, path in events:
        if kind not in ("read", "write"):
            yield f"{kind} {path}"
        elif is_below(path, box.secret):
            yield f"{kind} of {path}"
        elif kind == "write" and not may_write(path, box):
            yield f"write of {path}"
    if reads and ["read", str(box.inside / "a.png")] not in events:
        yield f"a.png was not read: {done.text[-300:]}"
    if (
        says
        and says not in done.text
        and not any(says in path.read_text(errors="replace") for path in box.out.glob("*.json"))
    ):
        yield f"{says!r} is not said: {done.text[-300:]}"
    if CANARY in done.text:
        yield "says what is outside"


def may_write(path: str, box: Box) -> bool:
    """In ``out``, on a device, and where temporary files go, which is a folder of the box, too."""
    places = (box.out, box.temporary, Path("/dev"), box.root / "events.json")
    return any(is_below(path, folder) for folder in places)


def is_below(path: str, folder: Path) -> bool:
    return path == str(folder) or path.startswith(f"{folder}{os.sep}")
