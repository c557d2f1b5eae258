"""Does the network wait for its pictures?"""

from __future__ import annotations

from foveal.diagnosis.finding import Finding
from foveal.diagnosis.health.history import History, RunFacts

ROWS = 3
WAITING = 0.3
"""Share of the time: with it gone, a run would be over in 70 % of the time."""
LARGE_PICTURES = 2.0
"""Times the canvas: a smaller copy would be read in a quarter of the time."""


def waits_for_data(history: History, facts: RunFacts) -> Finding | None:
    """The loader is the bottleneck."""
    shares = history.recent("data_wait", ROWS)
    if len(shares) < ROWS or min(shares) < WAITING:
        return None
    message = f"{100 * sum(shares) / ROWS:.0f} % of the time goes into waiting for pictures"
    ways = []
    if facts.workers < facts.cores:
        ways.append(f"raise data.workers (now {facts.workers}; this machine has {facts.cores} cores)")
    if not facts.tiled and facts.picture_side > LARGE_PICTURES * facts.canvas_side:
        ways.append(
            f"keep a smaller copy of the pictures (their longer side is {facts.picture_side:.0f} px, the canvas "
            f"{facts.canvas_side})"
        )
    if facts.mosaic:
        ways.append(f"lower data.augment.mosaic (now {facts.mosaic:g}): it reads four pictures for one")
    fix = "; ".join(ways) or "keep the pictures on a faster disk, or as JPEG"
    return Finding("waits_for_data", "warning", f"step {history.train[-1].step}", message, fix)


RULES = (waits_for_data,)
