"""Every promise of docs/reliability.md in its full form, and a table of what was found.

    python tests/torture                       all rows: about two hours on two cores
    python tests/torture R1 R4 S8              these
    python tests/torture --list                what there is
    python tests/torture S1 --model runs/bccd/best.safetensors --pictures photos/

Linux. Each row runs in a process and an empty folder of its own. Verdicts are kept as one JSON file a row in the
output folder, so rows that are run one after another make one table. Without --model the demo is run first, and
its model and pictures are used. Ends with 0 where every row of the table is kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from frame import ENVIRONMENT, FOVEAL, Place, Verdict  # noqa: E402
from rows import ROWS  # noqa: E402


def main() -> int:
    """Run the chosen rows; 0 where all rows of the table are kept."""
    choice = arguments()
    if choice.list:
        for name, row in ROWS.items():
            print(f"{name:4} {row.fault}: {row.mark}")
        return 0
    if choice.alone:
        place = Place(Path.cwd(), choice.model, choice.pictures, choice.seed)
        module, _, function = ROWS[choice.alone].runs.partition(":")
        verdict = getattr(importlib.import_module(module), function)(place)
        choice.output.write_text(json.dumps(verdict._asdict()))
        return 0
    choice.output = choice.output.absolute()
    choice.output.mkdir(parents=True, exist_ok=True)
    model, pictures = trained(choice)
    for name in choice.rows or ROWS:
        print(f"== {name} {ROWS[name].fault}", flush=True)
        seconds, verdict = watched(name, model, pictures, choice)
        entry = {**verdict._asdict(), "seconds": round(seconds)}
        (choice.output / f"{name}.json").write_text(json.dumps(entry, indent=1) + "\n")
        print(f"{'kept' if verdict.kept else 'MISSED'}: {verdict.found} ({seconds:.0f} s)\n", flush=True)
    return table(choice.output)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW")
    parser.add_argument("-o", "--output", type=Path, default=Path("torture"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--alone", choices=ROWS, metavar="ROW", help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if (choice.model is None) != (choice.pictures is None):
        parser.error("--model and --pictures go together")
    return choice


def trained(choice: argparse.Namespace) -> tuple[Path, Path]:
    """Model and pictures: the ones given, or the demo's, which is run where it has not been."""
    if choice.model is not None:
        return choice.model.absolute(), choice.pictures.absolute()
    demo = choice.output / "runs" / "demo"
    if not (demo / "best.safetensors").is_file():
        print("== foveal demo, for its model and pictures", flush=True)
        subprocess.run([*FOVEAL, "demo"], cwd=choice.output, env=ENVIRONMENT, check=True)
    return demo / "best.safetensors", demo / "data" / "val" / "images"


def watched(name: str, model: Path, pictures: Path, choice: argparse.Namespace) -> tuple[float, Verdict]:
    """Seconds and verdict of one row in a process of its own, which is ended with all that it started."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        work = Path(place) / name
        work.mkdir()
        result = Path(place) / "verdict.json"
        words = [sys.executable, str(HERE), "--alone", name, "-o", str(result), "--seed", str(choice.seed)]
        words += ["--model", str(model), "--pictures", str(pictures)]
        process = subprocess.Popen(words, cwd=work, start_new_session=True)
        try:
            code = process.wait(ROWS[name].minutes * 60)
            ended = f"ended with {code} and no verdict"
        except subprocess.TimeoutExpired:
            ended = f"hung: no end after {ROWS[name].minutes:g} minutes"
        finally:
            end_session(process)
        verdict = Verdict(**json.loads(result.read_text())) if result.is_file() else Verdict(False, ended)
    return time.monotonic() - began, verdict


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a row: all of its session, as some commands have a process group of their own."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            if int(file.read_text().rpartition(")")[2].split()[3]) == process.pid:
                os.kill(int(file.parent.name), signal.SIGKILL)
    process.wait()


def table(output: Path) -> int:
    """Print the table of all verdicts there are; 0 where all are kept."""
    kept = True
    print("| | fault | pass mark | found | |\n| --- | --- | --- | --- | --- |")
    for name, row in ROWS.items():
        file = output / f"{name}.json"
        if file.is_file():
            verdict = json.loads(file.read_text())
            kept &= verdict["kept"]
            word = "kept" if verdict["kept"] else "**missed**"
            print(f"| {name} | {row.fault} | {row.mark} | {verdict['found']} | {word} |")
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
