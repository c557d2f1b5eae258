"""R7: 10,000 damaged pictures of five formats through the decoder, the loader, predict and the doctor.

Counted as resident is all memory of a process (VmHWM), so also what its libraries' code takes. The decoder is read
in a process of its own, which holds nothing else; of the loader, which holds torch, too, what the pictures add to
it is given. A picture is unreadable where the decoder says so; each of the others has to say the same of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from frame import ENVIRONMENT, FOVEAL, Place, Verdict
from mutants import DAMAGES, mutants
from picture_readers import NAME, write_labels
from small_training import training
from sound_pictures import EXTENSIONS

READERS = str(Path(__file__).with_name("picture_readers.py"))
COUNT = 10_000
SECONDS = 2.0
MEGABYTES = 500
STALL = 60.0
"""Seconds without a sign of life after which a process counts as hung and is ended."""
SUBSET = len(EXTENSIONS) * len(DAMAGES) * 4
"""Pictures that training and ``--strict`` are tried on: each format and damage."""


class Ended(NamedTuple):
    """A process that has run."""

    code: int
    """Negative: by that signal; also where it was ended because it stood still."""
    longest: float
    """Seconds between two signs of life, after the first."""
    text: str


def run(place: Place) -> Verdict:
    """Everything once; what is wrong is printed."""
    folder = place.work / "pictures"
    sound = sorted(
        path for path in place.pictures.iterdir() if path.suffix.lower() in (*EXTENSIONS.values(), ".jpeg")
    )
    sums = write(folder, sound[:12], COUNT, place.seed)
    faults: list[str] = []
    rows, decoder = child("decode", folder, place.work / "decoded.jsonl")
    bad = {row["name"] for row in rows if row["error"]}
    longest = {"decoder": max(row["seconds"] for row in rows)}
    faults += judged("decoder", decoder, {row["name"] for row in rows}, set(sums))
    most = rows[-1]["most"]
    if most >= MEGABYTES:
        faults.append(f"decoder: {most:.0f} MB resident")

    rows, loader = child("load", folder, place.work / "loaded.jsonl")
    faults += judged("loader", loader, {row["name"] for row in rows if row["error"]}, bad)
    longest["loader"] = max(row["seconds"] for row in rows)
    growth = rows[-1]["most"] - rows[0]["resident"]
    if growth >= MEGABYTES:
        faults.append(f"loader: {growth:.0f} MB more")

    predict, more = predicted(place, folder, set(sums), bad)
    doctor, headers, others = examined(place, folder, list(sums), bad)
    longest["predict"] = predict.longest
    faults += [*more, *others, *strict(place, folder, bad, headers)]

    changed = [name for name, value in sums.items() if digest(folder / name) != value]
    faults += [f"{name}: rewritten" for name in changed]
    faults += [f"{name}: new" for name in sorted({path.name for path in folder.iterdir()} - sums.keys())]
    faults += [f"{who}: {seconds:.1f} s for one" for who, seconds in longest.items() if seconds > SECONDS]
    processes = [decoder, loader, predict, doctor]
    print("\n".join(faults[:50]))
    return Verdict(
        not faults and 0 < len(bad) < COUNT,
        f"{COUNT:,} pictures, {len(bad):,} unreadable, each named by decoder, loader, predict and doctor; "
        f"{sum(one.code < 0 for one in processes)} signals; longest {max(longest.values()):.2f} s; decoder "
        f"{most:.0f} MB resident in all, loader {growth:.0f} MB more than "
        f"the {rows[0]['resident']:.0f} of torch; {len(changed)} rewritten; --strict exits with 3; "
        f"{len(faults)} faults",
    )


def predicted(place: Place, folder: Path, names: set[str], bad: set[str]) -> tuple[Ended, list[str]]:
    """Predict at all of them: its end, and its faults."""
    journal = place.work / "found" / "detections.jsonl"
    options = ["--no-pictures", "--format", "jsonl", "--device", "cpu", "-o", "found"]
    ended = watch([*FOVEAL, "predict", str(place.model), str(folder), *options], place.work, journal)
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    errors = {Path(entry["file"]).name for entry in entries if entry["status"] == "error"}
    faults = judged("predict", ended, errors, bad)
    faults += judged("predict's rows", ended, {Path(entry["file"]).name for entry in entries}, names)
    return ended, faults + judged("predict's lines", ended, error_names(ended), bad)


def examined(
    place: Place, folder: Path, names: list[str], bad: set[str]
) -> tuple[Ended, set[str], list[str]]:
    """The doctor at all of them: its end, those of the bad that it knows by their headers, and its faults."""
    labels = write_labels(place.work / "labels.json", folder, names)
    ended = watch([*FOVEAL, "doctor", str(labels), "--json", "report.json"], place.work, None, code=3)
    findings = json.loads((place.work / "report.json").read_text())["findings"]
    by_header, by_pixels = (
        names_in(*(" ".join(found.values()) for found in findings if found["rule"] == rule))
        for rule in ("unreadable_picture", "broken_picture")
    )
    return ended, by_header, judged("doctor", ended, by_header | by_pixels, bad, code=3)


def write(folder: Path, sound: list[Path], count: int, seed: int) -> dict[str, str]:
    """The mutants as files; the SHA-256 of each by name."""
    folder.mkdir()
    for mutant in mutants(sound, count, seed):
        (folder / mutant.name).write_bytes(mutant.content)
    return {path.name: digest(path) for path in sorted(folder.iterdir())}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def judged(who: str, ended: Ended, found: set[str], wanted: set[str], code: int = 0) -> list[str]:
    """What is wrong with an end, and with what was named."""
    faults = [f"{who}: exit code {ended.code}"] if ended.code != code else []
    faults += [f"{who}: a traceback"] if "Traceback (most recent" in ended.text else []
    faults += [f"{who}: {name} is not named" for name in sorted(wanted - found)]
    return faults + [f"{who}: {name} is named" for name in sorted(found - wanted)]


def error_names(ended: Ended) -> set[str]:
    """Those of which predict says that they cannot be read; of a huge one it says that it was made smaller."""
    return names_in(*(line for line in ended.text.splitlines() if "where small objects matter" not in line))


def names_in(*texts: str) -> set[str]:
    return {name for text in texts for name in NAME.findall(text)}


def strict(place: Place, folder: Path, bad: set[str], headers: set[str]) -> list[str]:
    """Faults of training on each kind of mutant, with and without strict, and of ``predict --strict``.

    headers: those of the bad that are known by their header; training counts them, and names the others.
    """
    few = place.work / "few"
    few.mkdir()
    names = sorted(path.name for path in folder.iterdir())[:SUBSET]
    for name in names:
        os.link(folder / name, few / name)
    labels = write_labels(place.work / "few.json", few, names)
    (place.work / "few.yaml").write_text(training(labels, 12))
    faults = []
    for change, code in (("data.strict=false", 0), ("data.strict=true", 3)):
        words = ["train", "few.yaml", change, "--name", change]
        ended = watch([*FOVEAL, *words], place.work, None, code)
        named = names_in(ended.text)
        if ended.code != code or "Traceback" in ended.text or not named or not named <= bad:
            faults.append(f"train {change}: exit code {ended.code}: {ended.text[-500:]}")
        if code == 0:
            faults += judged("train", ended, named - headers, bad.intersection(names) - headers)
            counted = set(re.findall(r"([\d,]+) unreadable pictures", ended.text))
            if counted != {f"{len(headers.intersection(names)):,}"}:
                faults.append(f"train: counts {counted} headers of {len(headers.intersection(names))}")
    words = ["predict", place.model, few, "--strict", "--no-pictures", "--device", "cpu", "-o", "some"]
    ended = watch([*FOVEAL, *map(str, words)], place.work, None, 3)
    return faults + judged("predict --strict", ended, error_names(ended), bad.intersection(names), code=3)


# ---------------------------------------------------------------- processes


def child(what: str, source: Path, output: Path) -> tuple[list[dict[str, Any]], Ended]:
    """One of the readers in a process of its own: its rows, and how it ended."""
    ended = watch([sys.executable, READERS, what, str(source), str(output)], output.parent, output)
    return [json.loads(line) for line in output.read_text().splitlines()], ended


def watch(words: list[str], folder: Path, output: Path | None, code: int = 0) -> Ended:
    """A process until its end; where its output does not grow for long, it is killed."""
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(words, cwd=folder, stdout=said, stderr=said, env=ENVIRONMENT)
        longest, size, since = 0.0, 0, 0.0
        while True:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            now = time.monotonic()
            grown = output.stat().st_size if output is not None and output.exists() else 0
            if grown != size or not size:
                longest = max(longest, now - since if size else 0.0)
                size, since = grown, now
            if pid:
                break
            if output is not None and now - since > STALL:
                process.kill()
            time.sleep(0.02)
        said.seek(0)
        text = said.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, code):
        print(f"{' '.join(words[2:4])}: exit code {process.returncode}: {text[-2000:]}")
    return Ended(process.returncode, longest, text)
