"""What `foveal serve` promises under overload, attack and kill (S1 to S7 of docs/serve.md), on a live server.

    python benchmarks/serve_torture.py runs/bccd/best.safetensors street.jpg            all of it: about 5 minutes
    python benchmarks/serve_torture.py MODEL PICTURE --only S2 S4
    python benchmarks/serve_torture.py MODEL PICTURE --serve threads=1 backend=openvino

Linux, as memory is read from /proc. Prints the figures of each attack, then a table: what is promised, what was
found, and whether it was kept. Times are of this machine as loaded as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torture.addresses import addresses_of_others
from torture.bodies import huge_bodies, slow_clients
from torture.client import ask, post
from torture.ending import kill_server, stop_under_load
from torture.load import killed_decoders, overload
from torture.pictures import odd_pictures
from torture.server import Server
from torture.verdicts import VERDICTS, Verdict

IN_FLIGHT = 50
"""Requests that a stopping server finishes; its queue must hold them."""
Attack = Callable[[Server], Coroutine[Any, Any, dict[str, Any]]]


def main() -> None:
    options = arguments()
    picture = options.picture.read_bytes()
    more = [part for option in options.serve for part in f"--{option}".split("=", 1)]
    command = [sys.executable, "-m", "foveal", "serve", options.model, "--port", "0", *more]
    # Those of the first group share a server; each of the others ends its own.
    groups: list[tuple[list[str], dict[str, Attack]]] = [
        ([], survived(picture)),
        (["--queue", str(IN_FLIGHT)], {"S6": lambda server: stop_under_load(server, picture, IN_FLIGHT)}),
        ([], {"S6b": kill_server}),
    ]
    verdicts: dict[str, Verdict] = {}
    for its_options, attacks in groups:
        chosen = {name: attack for name, attack in attacks.items() if name in options.only}
        if not chosen:
            continue
        with serving([*command, *its_options], picture) as server:
            for name, attack in chosen.items():
                figures = asyncio.run(attack(server))
                print(name, json.dumps(figures), flush=True)
                verdicts[name] = VERDICTS[name](figures)
    print("\n| | promise | found | |\n| --- | --- | --- | --- |")
    for name, (promise, found, kept) in verdicts.items():
        print(f"| {name} | {promise} | {found} | {'pass' if kept else 'MISS'} |")
    sys.exit(not all(verdict.kept for verdict in verdicts.values()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--only", nargs="*", choices=VERDICTS, default=list(VERDICTS), metavar="S")
    parser.add_argument(
        "--serve", nargs="*", default=[], metavar="OPTION=VALUE", help="more options of foveal serve"
    )
    return parser.parse_args()


def survived(picture: bytes) -> dict[str, Attack]:
    """The attacks that a server outlives."""
    return {
        "S1": lambda server: overload(server, picture, clients=200, each=20),
        "S2": huge_bodies,
        "S3": lambda server: slow_clients(server, picture, sockets=100, seconds=60, asked=50),
        "S4": odd_pictures,
        "S5": lambda server: killed_decoders(server, picture, kills=10, clients=6, pause=1.0),
        "S7": addresses_of_others,
    }


@contextmanager
def serving(command: list[str], picture: bytes) -> Iterator[Server]:
    """A server that has answered once; stopped at the end where it still lives."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(command, Path(folder) / "log")
        try:
            asyncio.run(ask(server.port, post(picture)))
            yield server
        finally:
            server.stop()


if __name__ == "__main__":
    main()
