"""R8: 5,000 label files with faults through the readers and the doctor.

Half of the sets have faults at places that are known: every one of them must be named in one reading, and every
sound box must be left. The other half are damaged blindly: records, or one line that names the file.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shutil import rmtree

from forked import Done, forked, foveal, warm
from frame import Place, Verdict
from label_damage import damage
from label_sets import HEIGHT, SETS, WIDTH, Planted, pictures, plant
from pydantic import TypeAdapter

from foveal.build import build_records
from foveal.config.schema import Source
from foveal.data.account import full_account
from foveal.data.outcome import NothingToLearnError
from foveal.errors import DataError
from foveal.verbs.doctor import doctor

SOURCE: TypeAdapter[Source] = TypeAdapter(Source)

COUNT = 5_000
SECONDS = 10.0
"""A reading of twelve boxes takes a tenth of a second."""
MEGABYTES = 200


def run(place: Place) -> Verdict:
    """Every set once by the reader, once by the doctor."""
    warm()
    made = place.work / "pictures"
    pictures(made)
    for format in SETS:  # once here, so that what is imported late is imported once
        doctor(plant(format, place.work / format, made, 0, random.Random(0)).target, quiet=True)
    chance = random.Random(place.seed)
    faults: list[str] = []
    ends: Counter[str] = Counter()
    longest = most = 0.0
    planted = 0
    for number in range(COUNT):
        folder = place.work / f"set{number:04}"
        count = chance.choice((1, 2, 4, 8)) if number % 2 else 0
        case = plant(list(SETS)[number // 2 % len(SETS)], folder, made, count, chance)
        what = "planted" if number % 2 else damage(case, chance)
        planted += len(case.places)
        done = forked(partial(both, case), folder)
        found = list(judge(case, folder, done, known=bool(number % 2)))
        faults += [f"{folder.name} {case.format}, {what}: {fault}" for fault in found]
        ends[f"{case.format} {done.code}"] += 1
        longest, most = max(longest, done.seconds), max(most, done.megabytes)
        if not found:
            rmtree(folder)
    print("\n".join(faults[:60]))
    print(dict(sorted(ends.items())))
    return Verdict(
        not faults,
        f"{COUNT:,} sets of {len(SETS)} formats, each by reader and doctor: {len(faults)} faults (crash, "
        f"traceback, hang, unnamed file); {planted:,} planted faults, each named by its place in one pass; "
        f"longest {longest:.1f} s, at most {most:.0f} MB more",
    )


def both(case: Planted) -> None:
    """The reader, then the command, which ends the process."""
    read(case)
    foveal("doctor", case.target, "--json", "report.json")()


def read(case: Planted) -> None:
    """By the reader, with its account, into ``records.json``."""
    path = Path("records.json")
    more = {"voc": {"voc_corners": "raw"}, "yolo": {"part": "train"}}.get(case.format, {})
    source = {"format": case.format, "annotations": str(case.target), **more}
    try:
        with full_account():
            records = build_records(SOURCE.validate_python(source))
    except DataError as error:
        faults = error.records.faults if isinstance(error, NothingToLearnError) else ()
        lines = [f"{fault.where}: {fault.message}" for fault in faults]
        path.write_text(json.dumps({"error": str(error), "faults": lines, "boxes": 0}))
        return
    assert (records.boxes[:, 2:] > records.boxes[:, :2]).all()
    assert (records.boxes >= 0).all()
    assert (records.boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
    lines = [f"{fault.where}: {fault.message}" for fault in records.faults]
    path.write_text(json.dumps({"error": "", "faults": lines, "boxes": len(records.boxes)}))


def judge(case: Planted, folder: Path, done: Done, known: bool) -> Iterator[str]:
    """What is wrong with how it has ended, and with what was named."""
    if done.seconds > SECONDS or done.megabytes > MEGABYTES:
        yield f"{done.seconds:.1f} s, {done.megabytes:.0f} MB more"
    if done.crashed:
        yield done.crashed
        return
    result = json.loads((folder / "records.json").read_text())
    yield from unnamed(result["faults"] + [result["error"]] * bool(result["error"]), folder)
    report, told = folder / "report.json", []
    if report.exists():
        findings = json.loads(report.read_text())["findings"]
        told = [f"{found['where']}: {found['message']}" for found in findings]
    elif done.code not in (2, 3) or len(done.text.splitlines()) != 1 or str(folder) not in done.text:
        yield f"doctor: no report, exit code {done.code}, {done.text!r}"
    if known:
        for place in case.places:
            start = f"{folder}{os.sep}{place}: "
            for who, lines in (("reader", result["faults"]), ("doctor", told)):
                if not any(line.startswith(start) for line in lines):
                    yield f"{who}: nothing at {place}"
        if result["boxes"] != case.boxes:
            yield f"reader: {result['boxes']} boxes of {case.boxes}; {result['error']}"


def unnamed(lines: list[str], folder: Path) -> Iterator[str]:
    """Lines that do not say where, or are more than one."""
    for line in lines:
        if not line.startswith(str(folder)) and "every box is a crowd" not in line:
            yield f"reader: no place in {line!r}"
        if len(line.splitlines()) != 1:
            yield f"reader: several lines in {line!r}"
