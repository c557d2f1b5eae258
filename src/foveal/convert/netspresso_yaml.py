"""NetsPresso's YAML files -> one Foveal configuration, and what became of every key of theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from foveal.config import overrides, presets
from foveal.config.document import Document, Key, Origin, dotted
from foveal.config.dump import dump_config, dump_values
from foveal.config.explain import faults_of, lines, misplaced_booleans
from foveal.config.netspresso.ledger import Entry, Ledger, Note
from foveal.config.netspresso.model import rewrite_model
from foveal.config.netspresso.translate import translate
from foveal.config.schema import Config
from foveal.config.yaml_text import read_file
from foveal.errors import UsageError
from foveal.files import write_text

SECTIONS = ("model", "data", "augmentation", "training", "logging", "environment")
FILE_NAMES = tuple(f"{name}{ending}" for name in SECTIONS for ending in (".yaml", ".yml"))
DATA: Key = ("data",)
RESULT = "foveal.yaml"
PATHS: tuple[Key, ...] = (
    (*DATA, "root"),
    *((*DATA, split, name) for split in ("train", "val") for name in ("annotations", "images", "split")),
    ("model", "architecture", "backbone", "params", "weights"),
)
NO_LABELS = (
    "No labels that Foveal can read were given. Write data.train (foveal init DATA prints one), and add what the "
    "files say of the data:"
)


class YamlConversion(NamedTuple):
    """What a set of NetsPresso files came to."""

    config: Config
    text: str
    """The configuration as YAML, which ``load_config`` reads."""
    entries: tuple[Entry, ...]
    """One for every key of every file, in the order of the files."""
    notes: tuple[Note, ...]
    """Those with a warning are for a person to look at."""
    remarks: tuple[str, ...]
    """What is different here though no key says so."""
    output: Path
    """Where it was written."""

    def report(self) -> str:
        """One line for every key: file and line, key, what became of it."""
        rows = [f"{entry.place}: {dotted(entry.key)}: {entry.sentence()}" for entry in self.entries]
        return "\n".join([*rows, *self.remarks, self.total()])

    def total(self) -> str:
        """``177 keys: 90 used, 30 mapped, 57 ignored``."""
        fates = [entry.kind for entry in self.entries]
        counts = ", ".join(f"{fates.count(kind)} {kind}" for kind in ("used", "mapped", "ignored"))
        return f"{len(fates)} keys: {counts}"

    def __str__(self) -> str:
        """The report for the terminal."""
        warnings = [f"WARNING {note.text}" for note in self.notes if note.warning]
        return "\n".join([self.report(), *warnings, f"written: {self.output}"])


def convert_yaml(
    path: Path | Sequence[Path],
    output: Path | None = None,
    changes: Sequence[str] = (),
    report: Path | None = None,
) -> YamlConversion:
    """Reads NetsPresso's YAML and writes one configuration.

    path: a file with one or more of the sections model, data, augmentation, training, logging and environment; a
    folder with files of those names (or else all its YAML files); or several files. output: the new file; default:
    ``foveal.yaml`` in the folder, or ``NAME.foveal.yaml`` beside the file. changes: ``key.sub=value`` in Foveal's
    names, written over what the files say. report: .md or .json file for the fate of every key.
    UsageError, one line per fault, where a key is unknown, a part cannot be built, or a file to write exists.
    """
    files = _files(path)
    if output is None:
        folder = isinstance(path, Path) and path.is_dir()
        output = files[0].with_name(RESULT if folder else f"{files[0].stem}.{RESULT}")
    for new in (output, report):
        if new is not None and new.exists():
            raise UsageError(f"{new}: exists already; choose another name, nothing is written over")
    if report is not None and report.suffix not in (".md", ".json"):
        raise UsageError(f"{report}: a report is a .md or a .json file")
    ledger = Ledger()
    ours = translate(_read(files), ledger)
    if ours.get(("model",)) is None:
        ours.value.pop("model", None)
    _override(ours, ledger, changes)
    config, waiting = _validate(ours, ledger)
    text = dump_config(config, _header(ledger, waiting))
    write_text(output, text)
    entries = tuple(ledger.entries.values())
    result = YamlConversion(config, text, entries, tuple(ledger.notes), tuple(ledger.remarks), output)
    if report is not None:
        write_text(report, _json(result) if report.suffix == ".json" else _markdown(result))
    return result


def _override(ours: Document, ledger: Ledger, changes: Sequence[str]) -> None:
    """Changes from the command line; their paths start at the working directory."""
    ledger.notes += overrides.apply(ours, changes)
    again = Ledger()  # a change may use NetsPresso's names, too
    rewrite_model(ours, again)
    ledger.notes += again.notes
    ledger.faults += again.faults
    for key in PATHS:
        value = ours.get(key)
        if isinstance(value, str) and ours.origin(key).override and value != "imagenet":
            ours.put(key, str(Path(value).expanduser().absolute()), ours.origin(key))


def _files(path: Path | Sequence[Path]) -> list[Path]:
    if not isinstance(path, Path):
        return [file for one in path for file in _files(one)]
    if not path.is_dir():
        return [path]
    named = [path / name for name in FILE_NAMES if (path / name).is_file()]
    others = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml"))
    found = named or [file for file in others if not file.name.endswith(RESULT)]
    if not found:
        raise UsageError(f"{path}: holds no YAML file; NetsPresso's are {', '.join(FILE_NAMES[::2])}")
    return found


def _read(files: Sequence[Path]) -> Document:
    """All files as one document; a section that two of them give is an error."""
    values: dict[str, Any] = {}
    origins: dict[Key, Origin] = {}
    for file in files:
        document = read_file(file)
        for name in document.value:
            if name in values:
                raise UsageError(
                    f"{document.origin((name,)).place}: section {name!r} stands in {origins[(name,)].place}, "
                    "too; give one of the two files"
                )
        values.update(document.value)
        origins.update(document.origins)
    return Document(values, origins)


def _validate(ours: Document, ledger: Ledger) -> tuple[Config, dict[str, Any]]:
    """The configuration, and the data settings that wait for labels (nothing where there are labels)."""
    waits = bool(ours.mapping(DATA)) and not ours.mapping((*DATA, "train"))
    if waits:
        ours.value["data"]["train"] = {
            "format": "shapes"
        }  # in the place of labels, so that the rest is checked
    ledger.notes += presets.fill(ours)
    faults = misplaced_booleans(ours)
    config = None
    try:
        config = Config.model_validate(ours.value)
    except ValidationError as error:
        faults += faults_of(error, ours)
    # A part that was refused is left half translated, and its own faults say nothing new.
    told = ledger.faults or lines(faults, ours)
    if told or config is None:
        raise UsageError("\n".join(told))
    if not waits or config.data is None:
        return config, {}
    settings = {
        name: value
        for name, value in config.data.model_dump(mode="json").items()
        if name in ours.mapping(DATA)
    }
    del settings["train"]
    return config.model_copy(update={"data": None}), settings


def _header(ledger: Ledger, waiting: dict[str, Any]) -> str:
    files = dict.fromkeys(_file_name(entry.place.rpartition(":")[0]) for entry in ledger.entries.values())
    text = f"From NetsPresso's {', '.join(files)}."
    warnings = [note.text.partition(": ") for note in ledger.notes if note.warning]
    if warnings:
        text += "\nLook at these:\n"
        text += "\n".join(f"- {_file_name(place)}: {said}" for place, _, said in warnings)
    if waiting:
        text += f"\n{NO_LABELS}\n" + dump_values({"data": waiting}).rstrip()
    return text


def _file_name(place: str) -> str:
    """Without the folder, which is of this machine."""
    return Path(place).name


def _json(result: YamlConversion) -> str:
    values = {
        "output": str(result.output),
        "keys": [
            {"place": entry.place, "key": dotted(entry.key), "fate": entry.kind, "note": entry.text}
            for entry in result.entries
        ],
        "remarks": list(result.remarks),
        "warnings": [note.text for note in result.notes if note.warning],
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _markdown(result: YamlConversion) -> str:
    rows = [
        f"| `{_file_name(entry.place)}` | `{dotted(entry.key)}` | {entry.kind} | {entry.text} |"
        for entry in result.entries
    ]
    remarks = [f"- {remark}" for remark in result.remarks]
    head = ["| where | key | | to what, or why |", "|---|---|---|---|"]
    return "\n".join([f"# {result.output.name}", "", result.total(), "", *head, *rows, "", *remarks, ""])
