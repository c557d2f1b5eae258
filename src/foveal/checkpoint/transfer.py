"""Weights from one network into another: by name, else by the position of the modules; never half of them.

Everything here works on state dicts (name -> tensor), nothing is loaded into a module.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from foveal.errors import ModelFileError
from foveal.types import ClassNames

CLASSIFIER_NAMES = frozenset({"classifier", "fc", "head", "last_linear", "heads"})
"""First part of the names of an image classifier's last layers: no detector needs them."""
COUNTER = "num_batches_tracked"
"""Batch norm's step counter: read by nothing once momentum is set, absent from frozen layers."""
CLASS_LAYERS = ("head.cls_logits.weight", "head.cls_logits.bias")
"""[A * K, C, 3, 3] and [A * K]: row a * K + k scores class k on anchor a."""
PREFIX_DEPTH = 4
"""Parts of a name that may be a wrapper's, as in ``module.model.backbone.body.``."""

Pairs = dict[str, str]
"""Target name -> source name."""


class Mismatch(NamedTuple):
    """One name that both sides have, with different shapes."""

    name: str
    source_shape: tuple[int, ...]
    target_shape: tuple[int, ...]


class TransferReport(NamedTuple):
    """What became of every tensor."""

    matched: tuple[tuple[str, str], ...]
    """(name in the source, name in the target)."""
    missing: tuple[str, ...]
    """Target tensors that keep the value they had."""
    unused: tuple[str, ...]
    """Source tensors that went nowhere."""
    mismatched: tuple[Mismatch, ...]
    how: str
    classes_reused: tuple[str, ...] = ()
    classes_new: tuple[str, ...] = ()
    classes_dropped: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for a person."""
        total = len(self.matched) + len(self.missing)
        shapes = (f"{m.name} {list(m.source_shape)} -> {list(m.target_shape)}" for m in self.mismatched)
        lists = {
            "kept as initialised": self.missing,
            "not used": self.unused,
            "other shape": tuple(shapes),
            "classes reused": self.classes_reused,
            "classes new": self.classes_new,
            "classes dropped": self.classes_dropped,
        }
        parts = [f"{len(self.matched)} of {total} tensors matched: {self.how}"]
        parts += [f"{label}: {_some(names)}" for label, names in lists.items() if names]
        return "; ".join(parts)


class Transfer(NamedTuple):
    """The target's whole state dict with the transferred values in it, and what happened."""

    state: dict[str, Tensor]
    report: TransferReport


def transfer_weights(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Transfer:
    """Values of ``source`` under the names of ``target``.

    First by name, without the prefix that fits best (``module.``, ``backbone.body.``, ...); then by position:
    the modules of both sides in order, classifier last, each with the same tensors of the same shapes. An
    image classifier's own layers and batch norm's step counters may differ or be absent.

    ModelFileError where neither way fills the whole target; it names the first module that differs.
    """
    prefix = _best_prefix(source, target)
    pairs = {name: prefix + name for name in target if _fits(source.get(prefix + name), target[name])}
    left = [name for name in target if name not in pairs and _is_required(name)]
    if not left:
        return _transfer(source, target, pairs, f"by name, without {prefix!r}" if prefix else "by name")
    placed = _match_modules(_modules(source), _modules(target))
    if not isinstance(placed, str):
        return _transfer(source, target, placed, "by position of modules")
    if len(left) < len(target) / 2:
        name = left[0]
        found = source.get(prefix + name)
        what = "is not in it" if found is None else f"is {list(found.shape)} in it"
        placed = f"{name} {list(target[name].shape)} {what}"
    raise ModelFileError(
        f"these weights ({len(source)} tensors) are not of this network ({len(target)} tensors): {placed}; "
        "use weights of the same architecture"
    )


def carry_over(
    source: Mapping[str, Tensor],
    source_classes: ClassNames,
    target: Mapping[str, Tensor],
    target_classes: ClassNames,
    num_anchors: int,
) -> Transfer:
    """A detector's weights for other classes (fine-tuning).

    Tensors of equal name and shape are taken. In the class layers the rows of the class names that both sides
    have are copied, the other rows keep their fresh initialisation. ``num_anchors``: A, anchors per cell.
    ModelFileError where no tensor fits at all.
    """
    pairs = {
        name: name for name in target if name not in CLASS_LAYERS and _fits(source.get(name), target[name])
    }
    if not pairs:
        raise ModelFileError(
            "no tensor of the checkpoint fits this model; use the checkpoint's own model.architecture section"
        )
    transfer = _transfer(source, target, pairs, "by name")
    shared = set(source_classes.names) & set(target_classes.names)
    reused = tuple(name for name in target_classes.names if name in shared)
    rows = num_anchors * len(source_classes.names)
    layers = [name for name in CLASS_LAYERS if name in source and name in target]
    if not layers or any(source[name].shape != (rows, *target[name].shape[1:]) for name in layers):
        reused, layers = (), []
    for name in layers if reused else ():
        merged = target[name].detach().clone()
        merged[_class_rows(target_classes, reused, num_anchors)] = source[name][
            _class_rows(source_classes, reused, num_anchors)
        ].to(merged)
        transfer.state[name] = merged
        pairs[name] = name
    report = _report(source, target, pairs, "by name")._replace(
        mismatched=tuple(m for m in transfer.report.mismatched if m.name not in pairs),
        classes_reused=reused,
        classes_new=tuple(name for name in target_classes.names if name not in reused),
        classes_dropped=tuple(name for name in source_classes.names if name not in reused),
    )
    return Transfer(transfer.state, report)


def _class_rows(classes: ClassNames, wanted: Sequence[str], num_anchors: int) -> list[int]:
    """Rows of the class layers that belong to the wanted classes, anchor by anchor."""
    place = {name: k for k, name in enumerate(classes.names)}
    return [a * len(classes.names) + place[name] for a in range(num_anchors) for name in wanted]


def _best_prefix(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> str:
    """The wrapper's prefix that, taken off, makes most source names names of the target."""
    hits: Counter[str] = Counter()
    for name in source:
        parts = name.split(".")
        for depth in range(min(PREFIX_DEPTH + 1, len(parts))):
            if ".".join(parts[depth:]) in target:
                hits["".join(f"{part}." for part in parts[:depth])] += 1
    return max(hits, key=lambda prefix: (hits[prefix], -len(prefix)), default="")


def _fits(found: Tensor | None, wanted: Tensor) -> bool:
    return found is not None and found.shape == wanted.shape


def _is_classifier(name: str) -> bool:
    return name.split(".", 1)[0] in CLASSIFIER_NAMES


def _is_required(name: str) -> bool:
    return not _is_classifier(name) and not name.endswith(COUNTER)


class _Module(NamedTuple):
    """One layer: its name and its tensors by suffix (weight, bias, running_mean, ...)."""

    name: str
    tensors: dict[str, Tensor]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {suffix: tuple(t.shape) for suffix, t in sorted(self.tensors.items()) if suffix != COUNTER}


def _modules(state: Mapping[str, Tensor]) -> list[_Module]:
    """Layers in the network's order, the image classifier's last.

    A module's state dict has that order already; a safetensors file is sorted as text, which puts features.10
    before features.2, so numbers are compared as numbers there.
    """
    names = list(state)
    if names == sorted(names):
        names.sort(key=_natural)
    modules: dict[str, _Module] = {}
    for name in sorted(names, key=_is_classifier):
        module, _, suffix = name.rpartition(".")
        modules.setdefault(module, _Module(module, {})).tensors[suffix] = state[name]
    return list(modules.values())


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)|\.", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _match_modules(source: list[_Module], target: list[_Module]) -> Pairs | str:
    """Pairs by position, or the first difference in words."""
    bodies = [[m for m in side if not _is_classifier(m.name)] for side in (source, target)]
    classifiers = [[m for m in side if _is_classifier(m.name)] for side in (source, target)]
    matched = list(zip(*bodies, strict=False))
    for found, wanted in matched:
        if found.shapes() != wanted.shapes():
            return f"{wanted.name} {_words(wanted)} meets {found.name} {_words(found)}"
    longest = max(bodies, key=len)
    if len(longest) > len(matched):
        where = "in them" if longest is bodies[0] else "in the network"
        return f"{longest[len(matched)].name} is only {where}"
    if [m.shapes() for m in classifiers[0]] == [m.shapes() for m in classifiers[1]]:
        matched += zip(*classifiers, strict=True)
    return {
        f"{wanted.name}.{suffix}": f"{found.name}.{suffix}"
        for found, wanted in matched
        for suffix in wanted.tensors
        if suffix in found.tensors
    }


def _words(module: _Module) -> str:
    return ", ".join(f"{suffix} {list(shape)}" for suffix, shape in module.shapes().items())


def _transfer(source: Mapping[str, Tensor], target: Mapping[str, Tensor], pairs: Pairs, how: str) -> Transfer:
    state = dict(target)
    state.update({name: source[found].to(target[name]) for name, found in pairs.items()})
    return Transfer(state, _report(source, target, pairs, how))


def _report(
    source: Mapping[str, Tensor], target: Mapping[str, Tensor], pairs: Pairs, how: str
) -> TransferReport:
    used = set(pairs.values())
    return TransferReport(
        matched=tuple((pairs[name], name) for name in target if name in pairs),
        missing=tuple(name for name in target if name not in pairs and not name.endswith(COUNTER)),
        unused=tuple(name for name in source if name not in used and not name.endswith(COUNTER)),
        mismatched=tuple(
            Mismatch(name, tuple(source[name].shape), tuple(value.shape))
            for name, value in target.items()
            if name in source and name not in pairs and not _fits(source[name], value)
        ),
        how=how,
    )


def _some(names: Iterable[str], limit: int = 6) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
