"""Which detection of a video's frame is which object of the frame before: ByteTrack, by the package ``trackers``.

ByteTrack (Zhang et al. 2022) joins sure detections to tracks first, and doubtful ones to the tracks that are left:
an object that is half hidden keeps its track. What is sure is said by the model's thresholds, one per class.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from foveal.errors import UsageError
from foveal.runtime.detections import Detections
from foveal.types import Array

SURE = 0.5
"""Where a class's threshold lies on the scale that the tracker is given."""
LOST_SECONDS = 1.0
"""For so long a track waits for an object that is not seen (30 frames of 30 a second: the paper's)."""
DOUBTFUL = 0.1
"""Scores below this are not joined to tracks, as in the paper's code."""


class Tracked(NamedTuple):
    """Detections of a frame that are shown, and the track of each."""

    detections: Detections
    tracks: tuple[int | None, ...]
    """From 1, in the order of their beginning; None: seen in one frame so far."""


class Tracker:
    """Give it the detections of each frame, in order; of one video.

    limits: from which score on a class is sure. frame_rate: frames per second. Each class is tracked for itself:
    a rider and the horse under him overlap, and neither may take over the other's track.
    """

    def __init__(self, limits: Mapping[str, float], frame_rate: float) -> None:
        check_tracking()
        self._limits = limits
        self._rate = frame_rate
        self._by_class: dict[int, Any] = {}
        self._numbers: dict[tuple[int, int], int] = {}

    def update(self, found: Detections) -> Tracked:
        """found: everything that the model gives, the doubtful, too."""
        ids = np.full(len(found), -1, dtype=np.int64)
        labels = found.labels.numpy()
        # Classes with no detection in this frame must be told, so that their tracks grow old.
        for label in sorted(set(labels.tolist()) | set(self._by_class)):
            here = np.flatnonzero(labels == label)
            ids[here] = self._track(label, here, found)
        tracks = [self._number(label, one) for label, one in zip(labels.tolist(), ids.tolist(), strict=True)]
        sure = self._scaled(found) > SURE
        shown = [i for i, track in enumerate(tracks) if sure[i] or track is not None]
        return Tracked(found[shown], tuple(tracks[i] for i in shown))

    def _track(self, label: int, here: Array, found: Detections) -> Array:
        """The tracker's own ids of one class's detections, -1 where it has none yet."""
        import supervision

        tracker = self._by_class.get(label)
        if tracker is None:
            tracker = self._by_class[label] = _byte_track(self._rate)
        scaled = self._scaled(found)[here]
        fit = here[scaled > DOUBTFUL]
        given = supervision.Detections(
            xyxy=found.boxes.numpy()[fit].reshape(-1, 4).astype(np.float32),
            confidence=scaled[scaled > DOUBTFUL].astype(np.float32),
            class_id=np.full(len(fit), label),
            data={"place": fit},
        )
        out = tracker.update(given)
        ids = dict(
            zip(out.data.get("place", np.empty(0, int)).tolist(), out.tracker_id.tolist(), strict=True)
        )
        return np.array([ids.get(place, -1) for place in here.tolist()], dtype=np.int64)

    def _scaled(self, found: Detections) -> Array:
        """Scores with every class's threshold at ``SURE``: linear below it, and above it."""
        scores = found.scores.numpy().astype(np.float64)
        limits = np.array([self._limits[name] for name in found.names], dtype=np.float64).clip(1e-6, 1 - 1e-6)
        above = SURE + (1 - SURE) * (scores - limits) / (1 - limits)
        scaled: Array = np.where(scores > limits, above, SURE * scores / limits)
        return scaled

    def _number(self, label: int, track: int) -> int | None:
        return None if track < 0 else self._numbers.setdefault((label, track), len(self._numbers) + 1)


def check_tracking() -> None:
    """UsageError where the package is not installed."""
    try:
        _load()
    except ImportError:
        raise UsageError(
            "tracking needs trackers: pip install 'foveal[video]', or leave it out with --no-track"
        ) from None


def _load() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its own dependencies announce is not for this program's user
        import trackers

        return trackers


def _byte_track(frame_rate: float) -> Any:
    return _load().ByteTrackTracker(
        lost_track_buffer=round(30 * LOST_SECONDS),
        frame_rate=frame_rate,
        track_activation_threshold=SURE,
        high_conf_det_threshold=SURE,
        minimum_consecutive_frames=2,
    )


def no_tracks(shown: Detections) -> Tracked:
    """Detections of a frame where nothing is tracked."""
    return Tracked(shown, (None,) * len(shown))
