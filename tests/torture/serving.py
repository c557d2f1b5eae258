"""S1 to S7: what a live server keeps under overload, attack and kill; the attacks are in ``attacks/``.

Memory is read from /proc. Times are of this machine as loaded as it is. More options for the servers:
``FOVEAL_TORTURE_SERVE='--threads 1 --backend openvino' python tests/torture S1 S5``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from attacks import bodies, ending, load, pictures
from attacks.addresses import addresses_of_others
from attacks.server import serving
from frame import Place, Verdict

IN_FLIGHT = 50
"""Requests that a stopping server finishes; its queue must hold them."""
DEADLINE = 15.0
"""Seconds that a slow request has; its client sees the end up to three later on a loaded machine."""


def overload(place: Place) -> Verdict:
    """S1: 200 clients, each 20 times."""
    with serving(place) as (server, picture):
        f = figures(load.overload(server, picture, clients=200, each=20))
    statuses = f["statuses"]
    kept = (
        set(statuses) == {200, 503}
        and sum(statuses.values()) == 4000
        and set(f["scrapes"]) == {200}
        and f["lost"] == f["without Retry-After"] == 0
        and f["growth MB"] < 100
    )
    return Verdict(
        kept,
        f"{statuses.get(200, 0)} answers 200, {statuses.get(503, 0)} answers 503 with Retry-After, "
        f"{f['lost']} lost; {f['growth MB']} MB more; the slowest 200 took {f['slowest 200 s']} s; "
        f"{sum(f['scrapes'].values())} looks at /metrics and health answered meanwhile",
    )


def huge_bodies(place: Place) -> Verdict:
    """S2: 200 MB that are announced, and chunks without an end."""
    with serving(place) as (server, _):
        f = figures(bodies.huge_bodies(server))
    kept = all(row["status"] == 413 and row["seconds"] < 1 and row["growth MB"] < 30 for row in f.values())
    return Verdict(
        kept,
        "; ".join(f"{k}: {r['status']} after {r['seconds']} s, {r['growth MB']} MB" for k, r in f.items()),
    )


def slow_clients(place: Place) -> Verdict:
    """S3: 100 sockets for 60 s, that trickle heads, or bodies, or the ends of large bodies."""
    with serving(place) as (server, picture):
        f = figures(bodies.slow_clients(server, picture, sockets=100, seconds=60, asked=50))
    ends = f["ends of slow requests"]
    kept = (
        f["ratio"] < 2
        and f["refused beside"] == 0
        and ends.get(408, 0) >= 100
        and set(ends) <= {408, 503}
        and f["longest slow request s"] < DEADLINE + 3
        and f["growth MB"] < 300
    )
    said = ", ".join(f"{count} with {status}" for status, count in sorted(ends.items()))
    return Verdict(
        kept,
        f"slow requests ended: {said}, after {f['longest slow request s']} s at most; p99 of {f['asked'][0]} "
        f"requests {f['p99 alone s']} s alone, of {f['asked'][1]} beside them {f['p99 beside s']} s, "
        f"{f['refused beside']} refused; {f['growth MB']} MB more",
    )


def odd_pictures(place: Place) -> Verdict:
    """S4: pictures that promise too much, and files that are none."""
    with serving(place) as (server, _):
        f = figures(pictures.odd_pictures(server))
    nothing = f.pop("0 bytes")
    slowest = max(row["seconds"] for row in f.values())
    most = max(row["growth MB"] for row in f.values())
    statuses = {row["status"] for row in f.values()}
    kept = statuses == {413, 415} and nothing["status"] == 400 and slowest < 0.2 and most < 200
    return Verdict(
        kept,
        f"{len(f)} files: {' and '.join(map(str, sorted(statuses)))} within {slowest} s and {most} MB; "
        f"{nothing['status']} for no bytes",
    )


def killed_decoders(place: Place) -> Verdict:
    """S5: a decoding process killed 10 times while 6 clients ask."""
    with serving(place) as (server, picture):
        f = figures(load.killed_decoders(server, picture, kills=10, clients=6, pause=1.0))
    kept = (
        set(f["statuses"]) <= {200, 503}
        and f["kills"] == 10
        and f["failed"] <= f["kills"]
        and f["lost"] == 0
        and f["status after"] == 200
        and f["server alive"]
    )
    return Verdict(
        kept,
        f"{f['kills']} kills, {f['failed']} answers 503 (the others were idle), "
        f"{f['statuses'].get(200, 0)} answers 200, {f['lost']} lost",
    )


def stop_under_load(place: Place) -> Verdict:
    """S6: SIGTERM with 50 requests in flight; and kill -9, which leaves no process either."""
    with serving(place, "--queue", str(IN_FLIGHT)) as (server, picture):
        f = figures(ending.stop_under_load(server, picture, IN_FLIGHT))
    with serving(place) as (server, _):
        killed = figures(ending.kill_server(server))
    done = f["statuses"].get(200, 0)
    kept = (
        done == IN_FLIGHT
        and f["status of a new one"] == 0
        and f["exit code"] == 143
        and f["seconds"] < 10
        and f["orphans"] == 0
        and f["port free"]
        and killed["orphans"] == 0
        and killed["processes"] >= 4
    )
    return Verdict(
        kept,
        f"{done} of {IN_FLIGHT} with 200, a new one refused, exit code {f['exit code']} after {f['seconds']} s, "
        f"port {'free' if f['port free'] else 'taken'}, {f['orphans']} processes left; after kill -9 "
        f"{killed['orphans']} of {killed['processes']} left, {killed['seconds']} s later",
    )


def addresses(place: Place) -> Verdict:
    """S7: addresses of others wherever a picture could be."""
    with serving(place) as (server, _):
        f = figures(addresses_of_others(server))
    kept = f["calls"] == 0 and not f["outgoing"] and all(f["statuses"])  # 0: no answer
    return Verdict(
        kept,
        f"{len(f['statuses'])} requests with addresses in them: {f['calls']} calls, "
        f"{len(f['outgoing'])} outgoing sockets",
    )


def figures(attack: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """What an attack has found, printed whole."""
    found = asyncio.run(attack)
    print(json.dumps(found), flush=True)
    return found
