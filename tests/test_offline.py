"""Nobody is called: the main commands where every way out of the machine is watched and shut."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCES = sorted((Path(__file__).resolve().parents[1] / "src" / "foveal").rglob("*.py"))
GUARD = """
import errno, ipaddress, os, socket, sys

def shut(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode()
    if not host or host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(f"{event} {host}\\n")
    raise OSError(errno.ENETUNREACH, "the network is shut")

sys.addaudithook(shut)
"""
"""As ``sitecustomize`` it is there in every Python that is started, before anything else."""
COMMANDS = """
import contextlib, io, json, sys
from foveal.cli import main
from foveal.exits import command

command.end = sys.exit
ends = []
for words in json.load(sys.stdin):
    sys.argv = ["foveal", *words]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main()
    except SystemExit as end:
        ends.append([end.code, said.getvalue()[-1000:]])
print(json.dumps(ends))
"""


def watched(folder: Path, script: str, given: str = "") -> tuple[str, list[str]]:
    """What a script prints, and whom it or its children have tried to call. folder: gets a home folder, too."""
    (folder / "home").mkdir()
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    calls = folder / "calls"
    calls.touch()
    settings = {"PYTHONPATH": str(folder / "guard"), "CALLS": str(calls), "HOME": str(folder / "home")}
    # Programs of a continuous integration are told apart by it, and some report only elsewhere.
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("CI", "JENKINS_URL", "NNCF_CI", "TF_BUILD")
    }
    done = subprocess.run(
        [sys.executable, "-c", script], input=given, env=environment | settings | {"OMP_NUM_THREADS": "1"},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, calls.read_text().splitlines()


def test_the_guard_sees_calls(tmp_path: Path) -> None:
    """Also those of children, and those whose error is swallowed; not those to this machine."""
    script = """
import contextlib, multiprocessing, socket, subprocess, sys, urllib.request
def call(address):
    with contextlib.suppress(OSError):
        urllib.request.urlopen(address, timeout=5)
call("http://192.0.2.1/")
call("http://somewhere.example/")
process = multiprocessing.get_context("fork").Process(target=call, args=("http://192.0.2.2/",))
process.start(), process.join()
code = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.3', 80))"
subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
here = socket.create_server(("127.0.0.1", 0))
socket.create_connection(("localhost", here.getsockname()[1]))
"""
    hosts = [call.split()[1] for call in watched(tmp_path, script)[1]]
    assert hosts == ["192.0.2.1", "somewhere.example", "192.0.2.2", "192.0.2.3"]


def test_the_commands_call_nobody(tmp_path: Path, trained: Any) -> None:
    model, data = str(trained.best), str(trained.data)
    commands = [
        ["init", data, "-o", "mine.yaml"],
        ["doctor", data],
        ["config", "show", str(trained.config)],
        ["train", str(trained.config), "data.workers=1", "--name", "again"],
        ["evaluate", model],
        ["predict", model, f"{data}/images", "-o", "found", "--format", "jsonl"],
        ["report", "runs/again"],
    ]
    said, calls = watched(tmp_path, COMMANDS, json.dumps(commands))
    assert [code for code, _ in json.loads(said)] == [0] * len(commands), said
    assert not calls


@pytest.mark.parametrize("first", ["the_core", "import_nncf"])
def test_openvino_reports_to_nobody(tmp_path: Path, first: str) -> None:
    """Left alone, each import is told to a web address, and the home folder gets a number to know it again by."""
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    # It sends in a thread, and has sent when that has ended.
    script = f"from foveal.runtime.backends_openvino import {first}; {first}()\n"
    _, calls = watched(tmp_path, script + "import concurrent.futures.thread as t; t._python_exit()")
    assert not calls
    assert not (tmp_path / "home" / "intel").exists()


def test_ray_reports_to_nobody(tmp_path: Path) -> None:
    """Asked where Ray would be started, in a fresh process: it reads that when imported."""
    pytest.importorskip("ray")
    script = """
from foveal.cluster import start
said = []
def ask(address, workers, options):
    from ray._common.usage.usage_lib import usage_stats_enabled
    said.extend((usage_stats_enabled(), options["include_dashboard"]))
start._start = ask
with start.ray_cluster(None, 1):
    pass
print(*said)
"""
    said, calls = watched(tmp_path, script)
    assert said.split() == ["False", "False"]
    assert not calls


def test_the_server_is_traced_by_nobody() -> None:
    """FastAPI's own telemetry, where the environment asks for it, is off in every application of ours."""
    made = [
        {
            keyword.arg: ast.literal_eval(keyword.value)
            for keyword in node.keywords
            if keyword.arg == "telemetry"
        }
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "FastAPI"
    ]
    off = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}
    assert made == [{"telemetry": off}]
