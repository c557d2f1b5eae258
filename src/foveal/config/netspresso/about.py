"""What a NetsPresso model says beside its network: task, names, weights to begin with, what is frozen.

Facts: docs/components/model/overview.md, models/builder.py; up to 0.2 ``checkpoint`` is one path.
"""

from __future__ import annotations

from foveal.config.document import Document, Key
from foveal.config.netspresso.ledger import Ledger, assign
from foveal.errors import UsageError

MODEL: Key = ("model",)
ARCHITECTURE: Key = (*MODEL, "architecture")
CHECKPOINT: Key = (*MODEL, "checkpoint")
BACKBONE: Key = (*ARCHITECTURE, "backbone", "params")
CONVERT = "weights are taken over by foveal convert, file by file"
NO_RESUME = "a run of NetsPresso cannot be resumed"
NAMES: dict[Key, tuple[str, ...]] = {
    MODEL: (
        *("task", "name", "checkpoint", "freeze_backbone", "fx_model_checkpoint"),
        *("resume_optimizer_checkpoint", "load_checkpoint_head"),
    ),
    CHECKPOINT: ("use_pretrained", "load_head", "path", "optimizer_path"),
    ARCHITECTURE: ("full",),
}


def about(document: Document, ledger: Ledger) -> None:
    """What names a model: its task, a nickname, and the parts of other kinds of model."""
    task: Key = (*MODEL, "task")
    if task in document.origins:
        origin, value = document.origin(task), document.remove(task)
        if str(value).lower() != "detection":
            raise UsageError(f"{origin.place}: task {value!r} has no equal here; Foveal does: detection")
        ledger.used(task, origin, "detection is what Foveal does")
    _drop(document, ledger, (*MODEL, "name"), "it is a nickname; backbone.name says what is built")
    for key, what in (
        ((*ARCHITECTURE, "full"), "a whole model of another kind"),
        (
            (*MODEL, "fx_model_checkpoint"),
            "a torch.fx graph, which holds a network of its own (and is a pickle)",
        ),
    ):
        if document.get(key) is not None:
            raise UsageError(f"{document.origin(key).place}: {key[-1]} is {what}; Foveal cannot build it")
        _drop(document, ledger, key, "it is null: there is none")
    for key in ((*MODEL, "postprocessor"), (*MODEL, "losses")):
        if key in document.origins and document.get(key) is None:
            _drop(document, ledger, key, "it is null: Foveal's own are used")


def checkpoint(document: Document, ledger: Ledger) -> None:
    """Weights to begin with: those of ImageNet by name; files of NetsPresso are converted on their own."""
    key = CHECKPOINT
    _drop(document, ledger, (*MODEL, "resume_optimizer_checkpoint"), NO_RESUME)
    _drop(document, ledger, (*MODEL, "load_checkpoint_head"), "a pretrained backbone comes without a head")
    if key not in document.origins:
        return
    origin, value = document.origin(key), document.get(key)
    if not isinstance(value, dict):  # one path, up to 0.2
        document.remove(key)
        weights = None if value is None else "imagenet"
        assign(document, (*BACKBONE, "weights"), weights, origin, "checkpoint")
        way = "" if value is None else f" (timm's, in the place of {value}; {CONVERT})"
        ledger.mapped(key, origin, f"model.architecture.backbone.params.weights {weights or 'null'}{way}")
        return
    pretrained: Key = (*key, "use_pretrained")
    if pretrained in document.origins:
        here, wanted = document.origin(pretrained), document.remove(pretrained)
        weights = "imagenet" if wanted else None
        assign(document, (*BACKBONE, "weights"), weights, here, "use_pretrained")
        ledger.mapped(pretrained, here, f"model.architecture.backbone.params.weights {weights or 'null'}")
    _drop(document, ledger, (*key, "load_head"), "a pretrained backbone comes without a head")
    for name in ("path", "optimizer_path"):
        if document.get((*key, name)) is None:
            _drop(document, ledger, (*key, name), "it is null: there is none")
    path = (*key, "path")
    if path in document.origins:
        here, file = document.origin(path), document.remove(path)
        warning = f"checkpoint.path {file} is not loaded: {CONVERT}"
        ledger.ignored(path, here, CONVERT, warning)
    _drop(document, ledger, (*key, "optimizer_path"), NO_RESUME)
    if not document.mapping(key):
        document.remove(key)


def freeze(document: Document, ledger: Ledger) -> None:
    """``freeze_backbone``: theirs trains the backbone's batch norms, or nothing of the backbone at all."""
    key: Key = (*MODEL, "freeze_backbone")
    if key not in document.origins:
        return
    origin, value = document.origin(key), document.remove(key)
    if not isinstance(value, bool):
        raise UsageError(f"{origin.place}: freeze_backbone {value!r} is not allowed; allowed: true or false")
    norm = "frozen" if value else "trained"
    assign(document, (*BACKBONE, "batch_norm"), norm, origin, "freeze_backbone")
    to = f"model.architecture.backbone.params.batch_norm {norm}"
    if value:
        assign(document, ("training", "optimizer", "backbone_lr_factor"), 0.0, origin, "freeze_backbone")
        to += " and training.optimizer.backbone_lr_factor 0"
    ledger.mapped(key, origin, to)


def _drop(document: Document, ledger: Ledger, key: Key, why: str) -> None:
    if key in document.origins:
        origin = document.origin(key)
        document.remove(key)
        ledger.ignored(key, origin, why)
