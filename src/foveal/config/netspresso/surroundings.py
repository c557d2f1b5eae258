"""``logging.yaml`` and ``environment.yaml``: what of them is a setting of training, and what Foveal does anyway.

Facts: docs/components/logging.md, docs/components/environment.md, config/logging.yaml, config/environment.yaml.
"""

from __future__ import annotations

from foveal.config.document import Key
from foveal.config.netspresso.translation import Translation

LOGGING: Key = ("logging",)
SAVING: Key = (*LOGGING, "model_save_options")
METRICS: Key = (*LOGGING, "metrics")
ENVIRONMENT: Key = ("environment",)
BATCH_SIZES: tuple[Key, ...] = ((*ENVIRONMENT, "batch_size"), ("training", "batch_size"))
"""The newer place first."""

_ALL = "a run always writes config.yaml, metrics, the evaluation and its checkpoints into its folder"
_EXPORT = "foveal export asks for it when a model is exported"
_BOTH = "a run keeps its best and its last weights"
LOG_REASONS = {
    "project_id": "foveal train names the run folder (--name)",
    "output_dir": "foveal train says where runs go (--output)",
    "tensorboard": _ALL,
    "mlflow": _ALL,
    "csv": _ALL,
    "image": _ALL,
    "stdout": "foveal train prints its progress unless it is asked to be quiet",
    "num_save_samples": _ALL,
}
SAVE_REASONS = {
    "save_optimizer_state": "the last checkpoint always has it, so that a run resumes",
    "save_best_only": _BOTH,
    "save_criterion": "the best weights are those of the best AP on data.val",
    "best_model_criterion": "the best weights are those of the best AP on data.val",
    "sample_input_size": _EXPORT,
    "onnx_export_opset": _EXPORT,
    "save_checkpoint_epoch": _BOTH,
}
METRIC_REASONS = {
    "classwise_analysis": "an evaluation always has every class",
    "metric_names": "an evaluation always has the 12 numbers of COCO",
}
NAMES: dict[Key, tuple[str, ...]] = {
    LOGGING: (*LOG_REASONS, *SAVE_REASONS, "validation_epoch", "model_save_options", "metrics"),
    SAVING: (*SAVE_REASONS, "validation_epoch"),
    METRICS: tuple(METRIC_REASONS),
    ENVIRONMENT: ("seed", "num_workers", "gpus", "batch_size", "cache_data"),
}


def logging(t: Translation) -> None:
    """``validation_epoch`` -> ``training.validate_every``; everything else Foveal does, or asks elsewhere."""
    if not t.has(LOGGING):
        return
    for section in (SAVING, LOGGING):
        key = (*section, "validation_epoch")
        if t.number(key) is not None:
            t.map(key, ("training", "validate_every"), t.get(key))
        elif t.has(key):
            t.ignore(key, "")
        t.ignore_known(section, SAVE_REASONS)
    t.ignore_known(LOGGING, LOG_REASONS)
    t.ignore_known(METRICS, METRIC_REASONS)


def environment(t: Translation) -> None:
    """Seed, loader processes, GPUs and batch size; call before ``training``."""
    _seed(t)
    _batch_size(t)
    key = (*ENVIRONMENT, "num_workers")
    if t.has(key):
        if t.number(key) is not None:
            t.map(key, ("data", "workers"), t.get(key))
        elif t.get(key) is None:
            t.ignore(key, "")
    _gpus(t)
    t.ignore_known(ENVIRONMENT, {"cache_data": "pictures are read from their files in every epoch"})


def pictures_per_step(t: Translation) -> int | None:
    """Pictures behind one optimiser step there: batch size per GPU x GPUs; None where no file says."""
    batch = next((t.number(key) for key in BATCH_SIZES if t.number(key) is not None), None)
    return None if batch is None else int(batch) * max(1, len(_gpu_ids(t)))


def _first_of(t: Translation, keys: tuple[Key, ...], to: Key) -> None:
    """The first of the places that gives a value wins."""
    found = False
    for key in keys:
        if not t.has(key):
            continue
        if found or t.number(key) is None:
            t.ignore(key, f"{keys[0][0]} gives it, too, the newer place, which wins")
        else:
            t.map(key, to, t.get(key))
            found = True


def _seed(t: Translation) -> None:
    _first_of(t, ((*ENVIRONMENT, "seed"), ("training", "seed")), ("training", "seed"))


def _batch_size(t: Translation) -> None:
    _first_of(t, BATCH_SIZES, ("training", "batch_size"))


def _gpu_ids(t: Translation) -> list[str]:
    value = t.get((*ENVIRONMENT, "gpus"))
    values = value if isinstance(value, list) else str(value if value is not None else "").split(",")
    return [str(item).strip() for item in values if str(item).strip()]


def _gpus(t: Translation) -> None:
    key = (*ENVIRONMENT, "gpus")
    if not t.has(key):
        return
    ids = _gpu_ids(t)
    if not all(item.isdecimal() for item in ids):
        t.ledger.fault(
            t.origin(key), f"gpus {t.get(key)!r} is not allowed; allowed: numbers with commas between"
        )
    elif len(ids) > 1:
        how = "one GPU does the work of all in turn: as many pictures a step, and so the same learning rate"
        t.map(key, ("training", "accumulate"), len(ids), how)
    elif ids and ids != ["0"]:
        t.map(key, ("training", "device"), f"cuda:{ids[0]}")
    elif ids:
        t.map(key, ("training", "device"), "auto", "the first GPU, or the CPU where there is none")
    else:
        t.ignore(key, "it names no GPU")
