"""timm's pretrained weights by name: from the local cache, else from the model hub."""

from __future__ import annotations

import queue
import threading

import timm
from huggingface_hub import constants, get_session, try_to_load_from_cache
from timm.models import get_pretrained_cfg
from torch import nn

from foveal.errors import ModelFileError

CONNECT_SECONDS = 5.0
"""For each phase of a first contact with the hub; all of them together get twice as long."""
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Where timm looks in a repository of the hub that names no file."""


def create_pretrained(name: str) -> nn.Module:
    """The image classifier ``name`` of timm with its pretrained weights.

    ModelFileError, one line, where there are none, or where they are neither cached nor can be fetched. Without a
    network that takes seconds; the hub's own client would go on trying for the better part of a minute.
    """
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        if not _is_cached(name):
            _ask_hub()
        return timm.create_model(name, pretrained=True)
    # What fails here is the connection, the hub, the file or timm itself: they share no narrower base.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ModelFileError(
            f"no pretrained weights for {name} ({type(error).__name__}: {reason}); "
            "set model.architecture.backbone.params.weights to a file, or to null for random weights"
        ) from error


def _is_cached(name: str) -> bool:
    """Whether the hub need not be asked: the weights are here, or do not come from it."""
    entry = get_pretrained_cfg(name)
    if entry is None or not entry.hf_hub_id:
        return True
    repository, _, revision = entry.hf_hub_id.partition("@")
    files = (entry.hf_hub_filename,) if entry.hf_hub_filename else WEIGHT_FILES
    found = (try_to_load_from_cache(repository, file, revision=revision or None) for file in files)
    return any(isinstance(path, str) for path in found)


def _ask_hub() -> None:
    """Returns where the hub answers, whatever it says; raises what stands in the way."""
    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=CONNECT_SECONDS)
            outcome.put(None)
        except Exception as error:
            outcome.put(error)

    # In a thread, as no timeout covers looking up the name, and each of a host's addresses gets one of its own.
    threading.Thread(target=ask, daemon=True).start()
    try:
        error = outcome.get(timeout=2 * CONNECT_SECONDS)
    except queue.Empty:
        error = TimeoutError(f"no answer from {constants.ENDPOINT}")
    if error is not None:
        raise error
