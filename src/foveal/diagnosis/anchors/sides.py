"""The median box beside the anchors, in words."""

from __future__ import annotations


def sides_in_words(median: float, smallest: float, largest: float) -> str:
    """``median box 11 px, smallest anchor 32 px``; the largest where the box is larger, else both. Sides in px."""
    if median <= smallest:
        anchors = f"smallest anchor {smallest:.4g} px"
    elif median >= largest:
        anchors = f"largest anchor {largest:.4g} px"
    else:
        anchors = f"anchors {smallest:.4g} to {largest:.4g} px"
    return f"median box {median:.0f} px, {anchors}"
