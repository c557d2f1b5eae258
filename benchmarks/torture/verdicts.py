"""What is promised of each attack, and whether its figures keep it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Figures = dict[str, Any]


class Verdict(NamedTuple):
    """One line of the table."""

    promise: str
    found: str
    kept: bool


def overload(f: Figures) -> Verdict:
    statuses = f["statuses"]
    found = (
        f"{statuses.get(200, 0)} of 200, {statuses.get(503, 0)} of 503, {f['lost']} lost, {f['growth MB']} MB; "
        f"slowest 200 {f['slowest 200 s']} s"
    )
    kept = (
        set(statuses) <= {200, 503}
        and set(f["scrapes"]) == {200}
        and f["lost"] == f["without Retry-After"] == 0
        and f["growth MB"] < 100
    )
    return Verdict("200, or 503 with Retry-After; 0 lost, < 100 MB", found, kept)


def huge_bodies(f: Figures) -> Verdict:
    found = "; ".join(
        f"{name} {r['status']} in {r['seconds']} s, {r['growth MB']} MB" for name, r in f.items()
    )
    kept = all(r["status"] == 413 and r["seconds"] < 1 and r["growth MB"] < 30 for r in f.values())
    return Verdict("413 in < 1 s, < 30 MB", found, kept)


def slow_clients(f: Figures) -> Verdict:
    found = f"p99 {f['p99 alone s']} s alone, {f['p99 beside s']} s beside; ends {f['ends of slow requests']}"
    kept = f["ratio"] < 2 and set(f["ends of slow requests"]) == {408}
    return Verdict("ended with 408; p99 of another client < 2x", found, kept)


def odd_pictures(f: Figures) -> Verdict:
    pages = f["10,000-page TIFF"]
    refused = [row for row in f.values() if row is not pages]
    statuses = {row["status"] for row in refused}
    slowest = max(row["seconds"] for row in refused)
    most = max(row["growth MB"] for row in f.values())
    found = (
        f"{', '.join(map(str, sorted(statuses)))} in {slowest} s at most, {most} MB; "
        f"TIFF {pages['status']} in {pages['seconds']} s"
    )
    kept = statuses <= {400, 413, 415} and slowest < 0.2 and most < 200 and pages["status"] in (200, 413)
    return Verdict("413 or 415 (nothing: 400) in < 0.2 s, < 200 MB", found, kept)


def killed_decoders(f: Figures) -> Verdict:
    found = f"{f['kills']} kills, {f['failed']} failed, {f['lost']} lost, {f['statuses'].get(200, 0)} of 200"
    kept = (
        set(f["statuses"]) <= {200, 503}
        and f["failed"] <= f["kills"]
        and f["lost"] == 0
        and f["status after"] == 200
        and f["server alive"]
    )
    return Verdict("only a killed process's request fails", found, kept)


def stop_under_load(f: Figures) -> Verdict:
    done = f["statuses"].get(200, 0)
    found = (
        f"{done} of {f['in flight']}, exit code {f['exit code']} after {f['seconds']} s, {f['orphans']} left"
    )
    kept = (
        done == f["in flight"]
        and f["status of a new one"] == 0
        and f["exit code"] == 143
        and f["seconds"] < 10
        and f["orphans"] == 0
        and f["port free"]
    )
    return Verdict("all finished, new ones refused, < 10 s, port free, no process left", found, kept)


def kill_server(f: Figures) -> Verdict:
    found = f"{f['orphans']} of {f['processes']} left after {f['seconds']} s"
    return Verdict("kill -9 of the server: no process left", found, f["orphans"] == 0)


def addresses_of_others(f: Figures) -> Verdict:
    found = f"{f['calls']} calls, {len(f['outgoing'])} outgoing sockets"
    return Verdict("no outgoing socket", found, f["calls"] == 0 and not f["outgoing"])


VERDICTS: dict[str, Callable[[Figures], Verdict]] = {
    "S1": overload,
    "S2": huge_bodies,
    "S3": slow_clients,
    "S4": odd_pictures,
    "S5": killed_decoders,
    "S6": stop_under_load,
    "S6b": kill_server,
    "S7": addresses_of_others,
}
