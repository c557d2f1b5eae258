"""A small detector trained on labels that are at hand."""

from __future__ import annotations

import re
from pathlib import Path

from runs_of import CONFIG


def training(labels: Path, steps: int) -> str:
    """A configuration that trains a small detector on COCO labels, every picture as often as another."""
    source = f"{{format: coco, annotations: '{labels}'}}"
    text = re.sub(r"(train|val): \{.*\}", lambda found: f"{found[1]}: {source}", CONFIG)
    return text.replace("STEPS", str(steps)).replace(
        "class_aware_sampling: true", "class_aware_sampling: false"
    )
