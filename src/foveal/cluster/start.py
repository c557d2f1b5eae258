"""Ray, started for this program alone or joined by address: on the loopback, without dashboard and telemetry."""

from __future__ import annotations

import io
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple

from foveal.errors import UsageError

STORE_BYTES = 200 << 20
"""Of Ray's shared memory: names go in and boxes come out; pictures never lie in it."""
LONGEST_FOLDER = 30
"""Letters: Ray puts sockets below it, whose paths may have 107."""
ATTEMPTS = 4
"""Ray gives its own parts 30 seconds to start, which is little on a machine that has much else to do."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
"""The last: a thread that waits for answers when all is over would start a Ray of its own, dashboard and all."""
LOCAL = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}
"""Without the first Ray takes 127.0.0.1 for a name of the machine's outer address on Linux, and listens there.
Without the second its workers run at a niceness of 15, and starve where the machine has other work."""


class Cluster(NamedTuple):
    """A Ray that runs."""

    ray: Any
    workers: int
    """Processes that are to detect; one CPU is left for what reads and hands out."""
    gpus: int
    is_local: bool


@contextmanager
def ray_cluster(address: str | None, workers: int | None) -> Iterator[Cluster]:
    """Ray on this machine, for as long as the context lasts, or the one at an address.

    workers: None takes one per CPU but one, on a cluster with GPUs one per GPU. UsageError where Ray is missing,
    cannot be reached, or has too few CPUs.
    """
    check_ray()
    if address == "local":
        # Ray's word for a new one on this machine, which must not listen to the outside either.
        address = None
    cpus = os.cpu_count() or 1
    folder = None
    os.environ.update(QUIET)
    with _without_rays_words():
        if address is None:
            workers = workers or max(1, cpus - 1)
            os.environ.update(LOCAL)
            folder = tempfile.mkdtemp(prefix="foveal-", dir=_short_folder())
            options: dict[str, Any] = {"num_cpus": workers + 1, "object_store_memory": STORE_BYTES}
            options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "_temp_dir": folder}
        else:
            options = {}
        try:
            yield _start(address or "local", workers, options)
        finally:
            import ray

            ray.shutdown()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def check_ray() -> None:
    """UsageError where Ray Data is not installed. Nothing of Ray is imported: it reads the environment then."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("ray", "pyarrow")):
        raise UsageError("--cluster needs Ray Data: pip install 'foveal[cluster]'")


def _start(address: str, workers: int | None, options: dict[str, Any]) -> Cluster:
    import ray
    import ray.data

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    for attempt in range(ATTEMPTS):
        try:
            with _without_dashboard():
                ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
            break
        except Exception as error:  # of many classes, by what is wrong on either side
            ray.shutdown()
            if attempt + 1 < ATTEMPTS and "timed out during startup" in str(error):
                continue
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            where = "cannot start on this machine" if address == "local" else f"at {address} is not reached"
            raise UsageError(f"Ray {where}: {reason}") from error
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    able = max(1, cpus - 1)
    if workers is None:
        workers = min(able, gpus) if gpus else able
    if workers + 1 > cpus:
        raise UsageError(
            f"{workers} workers need {workers + 1} CPUs, one of them for what reads: Ray at {address} has {cpus}"
        )
    return Cluster(ray, workers, gpus, address == "local")


@contextmanager
def _without_dashboard() -> Iterator[None]:
    """Ray starts the dashboard's process even so, and that asks the network whose cloud this is."""
    from ray._private import services

    usual = services.start_api_server
    services.start_api_server = lambda *_, **__: ("", None)  # what it gives where that process did not start
    try:
        yield
    finally:
        services.start_api_server = usual


@contextmanager
def _without_rays_words() -> Iterator[None]:
    """What Ray prints, from Python and from below it, goes nowhere: this program says what matters itself."""
    errors = sys.stderr
    with redirect_stdout(io.StringIO()):
        if not _is_the_real_one(errors):
            yield
            return
        errors.flush()
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        sys.stderr = os.fdopen(os.dup(kept), "w", buffering=1)
        try:
            yield
        finally:
            sys.stderr.close()
            sys.stderr = errors
            os.dup2(kept, 2)
            os.close(kept)


def _is_the_real_one(errors: object) -> bool:
    """Whether it is the process's own stderr, and not what a notebook or a test has put in its place."""
    try:
        return errors.fileno() == 2  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, OSError, ValueError):
        return False


def _short_folder() -> str:
    """Where temporary files go, if its name leaves room for a socket's."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST_FOLDER or not os.path.isdir("/tmp") else "/tmp"
