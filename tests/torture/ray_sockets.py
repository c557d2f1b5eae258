"""S15 whole: what listens while ``foveal predict --cluster`` works, looked at ten times a second."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from frame import Place, Verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from ray_process import (
    LOOPBACK,
    below,
    connected,
    environment_of,
    is_dashboard,
    listening,
    rows_of,
    start,
    title,
)

from foveal.runtime.sources import find_pictures

PICTURES = 120


def run(place: Place) -> Verdict:
    """Twice: as it is by default, and with Ray's own word for this machine."""
    folder = place.work / "pictures"
    folder.mkdir()
    sources = find_pictures([str(place.pictures)])
    for number in range(PICTURES):
        source = sources[number % len(sources)]
        shutil.copy(source, folder / f"{number:03}{source.suffix}")
    kept, texts = True, []
    for name, more in (("alone", ()), ("--address local", ("--address", "local"))):
        good, text = watched(place, name.strip("-").replace(" ", "_"), more)
        kept &= good
        texts.append(f"{name}: {text}")
    return Verdict(kept, "; ".join(texts))


def watched(place: Place, name: str, more: tuple[str, ...]) -> tuple[bool, str]:
    """One job under watch: whether all was as promised, and the figures."""
    options = (
        "-o",
        name,
        "--cluster",
        "--workers",
        "1",
        "--no-pictures",
        "--device",
        "cpu",
        "--patience",
        "600",
    )
    running = start(place.model, "pictures", *options, *more, folder=place.work)
    heard, called, told, titles, dashboards = set[str](), set[str](), set[str](), set[bytes](), set[int]()
    looks = 0
    while running.poll() is None:
        pids = below(running.pid)
        heard |= set(listening(pids))
        called |= set(connected(pids))
        titles |= {title(pid) for pid in pids}
        dashboards |= set(filter(is_dashboard, pids))
        told |= {environment_of(pid).get("RAY_USAGE_STATS_ENABLED", "unset") for pid in pids if _is_ray(pid)}
        looks += 1
        time.sleep(0.1)
    said = running.communicate()[1]
    raylets = sum(b"raylet" in one for one in titles)
    rows = len(rows_of(place.work / name))
    outside = heard - LOOPBACK
    good = running.returncode == 0 and rows == PICTURES and bool(heard) and bool(raylets) and told == {"0"}
    good = good and not outside and not called - LOOPBACK and not dashboards
    if not good:
        print(said, outside, called, dashboards, told, sep="\n")
    text = (
        f"{rows} rows, {len(titles)} processes seen in {looks} looks, listening on {len(heard & LOOPBACK)} "
        f"loopback and {len(outside)} other addresses, connected to {len(called - LOOPBACK)} others, "
        f"{len(dashboards)} dashboards, usage statistics "
        f"{'off' if told == {'0'} else 'NOT off'}"
    )
    return good, text


def _is_ray(pid: int) -> bool:
    return b"raylet" in title(pid) or b"gcs_server" in title(pid)
