"""Foveal: RetinaNet trained, understood, measured and shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foveal.version import __version__

if TYPE_CHECKING:
    from foveal.runtime.detections import Detections
    from foveal.runtime.predictor import Predictor

__all__ = ["Detections", "Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: `foveal --help` and `import foveal.version` must not wait for it.
    if name == "Predictor":
        from foveal.runtime.predictor import Predictor

        return Predictor
    if name == "Detections":
        from foveal.runtime.detections import Detections

        return Detections
    raise AttributeError(f"module 'foveal' has no attribute {name!r}")
