"""Pictures per second against the plain loop: python benchmarks/many_pictures.py MODEL PICTURES [--cluster]

The plain loop is ``for path in paths: predictor(path)``. Beside it, in turn: decoding ahead in two threads,
and in batches. After them, with --cluster, Ray Data with 1 and 2 workers, once started. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from foveal.cluster.job import detect_on_cluster, work_for
from foveal.cluster.start import ray_cluster
from foveal.runtime.predictor import Predictor
from foveal.runtime.sources import find_pictures

Work = Callable[[], int]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--cluster", action="store_true")
    choice = parser.parse_args()
    found = find_pictures([choice.folder])
    paths = [found[place % len(found)] for place in range(choice.pictures)]
    predictor = Predictor(choice.model, choice.device, backend=choice.backend)
    sides: dict[str, Work] = {
        "plain loop": lambda: sum(1 for path in paths if predictor(path) is not None),
        "2 threads decode ahead": lambda: sum(1 for _ in predictor.stream(paths, 1, 2)),
        "the same, batches of 4": lambda: sum(1 for _ in predictor.stream(paths, 4, 2)),
    }
    rates = in_turn(sides, choice.rounds, len(paths))
    if choice.cluster:
        for workers in (1, 2):
            rates[f"Ray, {workers} worker{'s'[: workers - 1]}"] = on_ray(choice, predictor, paths, workers)
    plain = rates["plain loop"]
    for name, rate in rates.items():
        print(f"{name:<24} {rate:7.2f} a second  {rate / plain:5.2f}x")


def in_turn(sides: dict[str, Work], rounds: int, count: int) -> dict[str, float]:
    """Pictures per second of each, the rounds of all taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            began = time.perf_counter()
            assert work() == count
            seconds[name].append(time.perf_counter() - began)
    return {name: count / statistics.median(values) for name, values in seconds.items()}


def on_ray(choice: argparse.Namespace, predictor: Predictor, paths: list[Path], workers: int) -> float:
    """Pictures per second, without the first quarter: it waits for the workers to start, once for any number."""
    options = {"device": choice.device, "backend": choice.backend, "precision": "fp32", "calibration": None}
    options |= {"tiles": None, "overlap": None, "max_pixels": 250_000_000}
    files = [str(path) for path in paths]
    with ray_cluster(None, workers) as cluster:
        work = work_for(cluster, choice.model, options, predictor.thresholds, 1)
        answers = detect_on_cluster(cluster, files, work, lambda: False)
        times = [time.perf_counter() for _ in answers]
    first = len(times) // 4
    return (len(times) - first) / (times[-1] - times[first - 1])


if __name__ == "__main__":
    main()
