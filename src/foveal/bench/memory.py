"""Peak memory of a call, and how much of it the result still holds.

What a call takes at its peak is its result (a gradient of 64 MB is 64 MB on both sides) and its temporaries;
only the second can be saved.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.autograd.profiler import profile, record_function

Work = Callable[[], Any]
Gauge = Callable[[Work], "tuple[Any, Memory]"]
PEAK_FILE = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
MARK = "foveal: measured"


class Memory(NamedTuple):
    """Bytes above what was held before the call."""

    peak: int
    kept: int
    """Still held after it: the result."""

    @property
    def temporaries(self) -> int:
        return self.peak - self.kept


def gauge_of(device: str, torch_memory: bool) -> Gauge:
    """What measures a call on this device, inside torch or outside it."""
    if not torch_memory:
        return process_memory
    return cuda_memory if device == "cuda" else torch_memory_of


def torch_memory_of(work: Work) -> tuple[Any, Memory]:
    """Result and memory of a call that works inside torch on the CPU: exact, from every allocation it makes.

    The work is done twice and measured the second time, so that what it frees (the gradients of the step before)
    was seen taken.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # it complains of a missing GPU at its first start
    with profile(profile_memory=True) as record:
        work()
        gc.collect()
        with record_function(MARK):
            result = work()
    events = sorted(record.kineto_results.events(), key=lambda event: event.start_ns())
    begin = next(place for place, event in enumerate(events) if event.name() == MARK)
    held = list(accumulate((e.nbytes() for e in events[begin:] if e.name() == "[memory]"), initial=0))
    return result, Memory(max(held), max(held[-1], 0))


def cuda_memory(work: Work) -> tuple[Any, Memory]:
    """Result and memory of a call on the current CUDA device, as torch's allocator gave it out."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = work()
    torch.cuda.synchronize()
    peak, after = torch.cuda.max_memory_allocated() - before, torch.cuda.memory_allocated() - before
    return result, Memory(peak, max(after, 0))


def process_memory(work: Work) -> tuple[Any, Memory]:
    """Result and memory of a call, by what the process occupied: for work outside torch, Linux only.

    OSError where the system keeps no resettable peak.
    """
    gc.collect()
    _give_back()
    PEAK_FILE.write_text(RESET_PEAK)
    before = _status("VmRSS")
    result = work()
    peak = _status("VmHWM") - before
    gc.collect()
    _give_back()
    return result, Memory(max(peak, 0), min(max(_status("VmRSS") - before, 0), max(peak, 0)))


def _give_back() -> None:
    """Free memory that the C library keeps for later would hide what the call takes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def _status(key: str) -> int:
    """Bytes of a line of the process's status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024
