"""Weights of classes from how often they occur (paper, section 3.1: "set by inverse class frequency")."""

from __future__ import annotations

from collections.abc import Sequence

ALPHA_RANGE = (0.05, 0.75)
"""Beyond it a class would be learnt from its background alone, or hardly from its background."""


def alpha_of_classes(boxes: Sequence[int], mean: float = 0.25) -> list[float]:
    """Alpha of each class, greater for rarer ones: in proportion to 1 / sqrt(boxes), ``mean`` over all boxes.

    boxes: of each class in the training set; a class without one has ``mean``. The square root is the usual
    compromise between no balance and the inverse frequency, which a class of three boxes would dominate. Results
    lie in ``ALPHA_RANGE``. Alpha balances classes against background, not against one another: see docs/losses.md.
    """
    root = sum(count**0.5 for count in boxes)
    if not root:
        return [mean for _ in boxes]
    scale = mean * sum(boxes) / root
    least, most = ALPHA_RANGE
    return [min(max(scale / count**0.5, least), most) if count else mean for count in boxes]
