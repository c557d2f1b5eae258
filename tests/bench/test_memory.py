"""Peak memory: what is counted, and that the result is told from the temporaries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from foveal.bench import memory
from foveal.bench.memory import Memory, gauge_of, process_memory, torch_memory_of

MB = 1_000_000


def floats(megabytes: int) -> Tensor:
    return torch.ones(megabytes * MB // 4)


def test_temporaries_and_result_are_told_apart() -> None:
    def work() -> Tensor:
        one = floats(3)
        two = one + 1  # 6 MB are held here
        del one
        return two[: MB // 4].clone()

    result, found = torch_memory_of(work)
    assert result.nbytes == MB
    assert 6 * MB <= found.peak < 6.1 * MB
    assert MB <= found.kept < 1.1 * MB
    assert found.temporaries == found.peak - found.kept


def test_what_was_there_before_does_not_count() -> None:
    held = floats(5)
    _, found = torch_memory_of(lambda: held.add_(1)[: MB // 4].clone().sum())
    assert MB <= found.peak < 1.1 * MB
    assert found.kept < 0.1 * MB


def test_what_the_last_call_left_and_this_one_frees_is_taken_off() -> None:
    """A training step replaces the gradients of the step before."""
    left = [floats(4)]

    def work() -> None:
        left.clear()
        left.append(floats(4))

    _, found = torch_memory_of(work)
    assert found.peak < 0.1 * MB
    assert found.kept == 0


def test_gradients_count() -> None:
    leaf = floats(2).requires_grad_()
    _, found = torch_memory_of(lambda: torch.autograd.grad(leaf.square().sum(), leaf))
    assert found.peak >= 4 * MB
    assert found.kept >= 2 * MB


@pytest.mark.skipif(not memory.PEAK_FILE.exists(), reason="only Linux keeps a resettable peak")
def test_memory_of_the_process() -> None:
    def work() -> np.ndarray:
        large = np.ones(40 * MB // 8)
        return large[: 10 * MB // 8].copy()

    result, found = process_memory(work)
    assert result.nbytes == 10 * MB
    assert 45 * MB < found.peak < 70 * MB
    assert 8 * MB < found.kept < 25 * MB


def test_each_kind_of_work_has_its_gauge() -> None:
    assert gauge_of("cpu", True) is torch_memory_of
    assert gauge_of("cpu", False) is process_memory
    assert gauge_of("cuda", True) is memory.cuda_memory
    assert gauge_of("cuda", False) is process_memory
    assert Memory(5, 2).temporaries == 3
