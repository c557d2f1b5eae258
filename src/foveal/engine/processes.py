"""The processes of one run: which one this is, and what they tell each other. In one process all of it is nothing.

torchrun (or whatever sets RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT as it does)
starts the same command several times. What is said between hosts goes over gloo, also where the devices have NCCL:
asking the others must not wait for a device.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from foveal.errors import FailedElsewhere, Interrupted, UsageError, exit_code_of

T = TypeVar("T")

NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_FAILED = "failed"
"""Key under which the first process that fails says how."""
_LEFT = "left"
_LOOK_EVERY = 0.02
"""Seconds between two looks at what others have left in the store."""
_MEETING_SECONDS = 1800.0
_LEAVING_SECONDS = 5.0
"""So long does the process that holds what the others read wait for them at its end."""


def world_size() -> int:
    """Processes of this run, as torchrun tells."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this process among them, from 0."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def several() -> bool:
    """Whether there are others to talk to."""
    return world_size() > 1 and dist.is_available() and dist.is_initialized()


@contextmanager
def joined() -> Iterator[None]:
    """The processes know each other inside the block. Where one fails in it, all end alike, and one says why.

    That is the first to fail: it raises its own error. The others raise ``FailedElsewhere`` with its exit code, at
    the latest when they next wait for it. A process that was killed says nothing; then the others are Interrupted.
    UsageError where the surroundings are only half those of torchrun.
    """
    if world_size() == 1:
        yield
        return
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is {world_size()}, but {missing[0]} is not set: start several processes with torchrun, "
            "or unset WORLD_SIZE"
        )
    told = _meet()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        # What started us ends those that are still at it: too early, for a process that is about to end by itself.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        mine = _in_words(error)
        if (first := _first_failure(told, mine)) != mine or _said_before(told, mine):
            raise FailedElsewhere(first["message"], first["code"]) from error
        if _is_lost_connection(error):
            raise Interrupted(mine["message"], signal.SIGTERM) from error
        raise
    finally:
        # Others that wait for this process wake up when it ends, at the latest.
        with suppress(Exception):
            dist.destroy_process_group()
        _leave(told)


def _meet() -> Any:
    """Connect the processes; the store in which they leave each other words."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        store, number, count = next(dist.rendezvous("env://"))  # type: ignore[attr-defined]
        store = _fresh_part(store)
        dist.init_process_group(backend, store=store, rank=number, world_size=count)
        return store
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise UsageError(
            f"process {rank()} of {world_size()} cannot reach the others at {where} "
            f"({(str(error).splitlines() or [type(error).__name__])[0]}); start them with torchrun"
        ) from error


def _fresh_part(store: Any) -> Any:
    """A part of the store in which no earlier start of these processes has left anything.

    torchrun keeps its store from one start to the next; who comes early would read where the others were the last
    time. So each brings a word of its own, the first process lists them, and a list counts once all that are on it
    have seen their word of now there. (How often torchrun says it has started them is not the same everywhere.)
    """
    mine, names = uuid.uuid4().hex, [f"foveal/word/{number}" for number in range(world_size())]
    store.set(names[rank()], mine)
    seen: set[str] = set()
    end = time.monotonic() + _MEETING_SECONDS
    while time.monotonic() < end:
        if is_first() and store.check(names):
            store.set("foveal/words", " ".join(store.get(name).decode() for name in names))
        words = store.get("foveal/words").decode() if store.check(["foveal/words"]) else ""
        part = f"foveal/{hashlib.sha256(words.encode()).hexdigest()}"
        if mine in words.split():
            here = store.add(f"{part}/here", int(words not in seen))
            seen.add(words)
            if here == world_size():
                return dist.PrefixStore(part, store)  # type: ignore[attr-defined]
        time.sleep(_LOOK_EVERY)
    raise RuntimeError(f"not all have come within {_MEETING_SECONDS / 60:.0f} minutes")


def _in_words(error: BaseException) -> dict[str, Any]:
    """What the others are told of an error."""
    code, message = exit_code_of(error), str(error)
    if _is_lost_connection(error):
        code = 128 + signal.SIGTERM
        message = "another process of this run has ended without a word; the last saved state is kept"
    return {"rank": rank(), "code": code, "message": message}


def _is_lost_connection(error: BaseException) -> bool:
    """Whether an error means that another process has gone."""
    if not isinstance(error, RuntimeError):
        return False
    words = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL")
    return isinstance(error, dist.DistError) or any(word in str(error) for word in words)


def _first_failure(store: Any, mine: dict[str, Any]) -> dict[str, Any]:
    """Tell the others of a failure; the first one that was told."""
    try:
        told = store.compare_set(_FAILED, "", json.dumps(mine))
        first: dict[str, Any] = json.loads(told)
        return first
    except Exception:  # what held the store has gone, too
        return mine


def _said_before(store: Any, failure: dict[str, Any]) -> bool:
    """Whether an earlier start of these processes ended with the same words: torchrun repeats what stays wrong.

    What depends on the moment, as a signal and a killed process do, is said each time.
    """
    if failure["code"] > 128:
        return False
    words = hashlib.sha256(failure["message"].encode()).hexdigest()
    try:
        return int(store.underlying_store.add(f"foveal/said/{words}", 1)) > 1
    except Exception:  # what held the store has gone
        return False


def _leave(store: Any) -> None:
    """The first process may hold the store: it goes last."""
    with suppress(Exception):
        left = store.add(_LEFT, 1)
        if rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
            end = time.monotonic() + _LEAVING_SECONDS
            while left < world_size() and time.monotonic() < end:
                time.sleep(_LOOK_EVERY)
                left = store.add(_LEFT, 0)


def from_first(work: Callable[[], T]) -> T:
    """What the first process gets from ``work``, which no other does, in all of them."""
    return from_process(0, work)


def from_process(number: int, work: Callable[[], T]) -> T:
    """What process ``number`` gets from ``work``, in all of them."""
    if not several():
        return work()
    told = [work() if rank() == number else None]
    dist.broadcast_object_list(told, number)
    return told[0]  # type: ignore[return-value]


def from_all(value: T) -> list[T]:
    """Every process' value, in all of them."""
    if not several():
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def to_first(value: T) -> list[T]:
    """Every process' value, in the first one; in the others their own."""
    if not several():
        return [value]
    values: list[Any] | None = [None] * world_size() if is_first() else None
    dist.gather_object(value, values)
    return [value] if values is None else values


def largest(numbers: Sequence[int]) -> list[int]:
    """The largest of every process' numbers, place by place."""
    if not several():
        return list(numbers)
    highest = torch.tensor(list(numbers))
    dist.all_reduce(highest, op=dist.ReduceOp.MAX)
    return [int(number) for number in highest.tolist()]


def summed(values: Tensor) -> Tensor:
    """Sum over the processes, on the device of the values."""
    if not several():
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total
