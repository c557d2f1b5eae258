"""Who shares a pass with whom, and what becomes of those who leave."""

from __future__ import annotations

import asyncio
import threading

import pytest
import torch
from torch import Tensor

from foveal.serve.batching import MicroBatcher, join
from foveal.serve.refusal import Refusal
from foveal.types import BatchDetections


class Network:
    """Gives each picture its first pixel as a score; remembers its passes, and can be held up."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, images: Tensor) -> BatchDetections:
        self.open.wait(10)
        first = images[:, 0, 0, 0]
        self.passes.append(first.tolist())
        if 99 in self.passes[-1]:
            raise RuntimeError("no such pixel\nand more")
        count = torch.ones(len(images), dtype=torch.int64)
        scores = first[:, None].float()
        return BatchDetections(scores[:, :, None].repeat(1, 1, 4), scores, count[:, None], count)


def picture(value: int, size: int = 4) -> Tensor:
    return torch.full((1, 3, size, size), value, dtype=torch.uint8)


async def together(network: Network, batcher: MicroBatcher, *images: Tensor) -> list[object]:
    """All at once, while the first holds the network up."""
    network.open.clear()
    batcher.start()
    first = asyncio.create_task(batcher.detect(picture(0)))
    while not batcher.busy:
        await asyncio.sleep(0)
    tasks = [asyncio.create_task(batcher.detect(one)) for one in images]
    await asyncio.sleep(0)
    network.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await first
    await batcher.stop()
    return [r.scores[:, 0].tolist() if isinstance(r, BatchDetections) else r for r in results]


def test_waiting_pictures_share_passes_and_each_gets_its_own() -> None:
    network = Network()
    seen: list[int] = []
    batcher = MicroBatcher(network, 3, 0.0, lambda pictures, seconds: seen.append(pictures))
    found = asyncio.run(together(network, batcher, *(picture(value) for value in range(1, 6))))
    assert found == [[1], [2], [3], [4], [5]]
    assert network.passes == [[0], [1, 2, 3], [4, 5]]
    assert seen == [1, 3, 2]


def test_sizes_do_not_mix_and_none_is_left_behind() -> None:
    network = Network()
    images = [picture(1), picture(2, size=8), picture(3), picture(4, size=8)]
    assert asyncio.run(together(network, MicroBatcher(network, 4, 0.0), *images)) == [[1], [2], [3], [4]]
    assert network.passes == [[0], [1, 3], [2, 4]]


def test_more_pictures_than_a_pass_holds() -> None:
    network = Network()
    many = torch.cat([picture(value) for value in range(1, 8)])
    found = asyncio.run(together(network, MicroBatcher(network, 3, 0.0), many))
    assert found == [[1, 2, 3, 4, 5, 6, 7]]
    assert network.passes == [[0], [1, 2, 3], [4, 5, 6], [7]]


def test_a_fault_costs_its_own_picture_alone(capsys: pytest.CaptureFixture[str]) -> None:
    network = Network()
    images = [picture(1), picture(99), picture(2), picture(3)]
    before, bad, beside, other = asyncio.run(together(network, MicroBatcher(network, 3, 0.0), *images))
    assert isinstance(bad, Refusal)
    assert (bad.status, bad.message) == (500, "the model failed on it: RuntimeError: no such pixel")
    assert (before, beside, other) == ([1], [2], [3])
    assert network.passes == [[0], [1, 99, 2], [1], [99], [2], [3]]
    assert "no such pixel" in capsys.readouterr().err


def test_who_gives_up_takes_no_place() -> None:
    async def work() -> list[list[int]]:
        network = Network()
        batcher = MicroBatcher(network, 1, 0.0)
        network.open.clear()
        batcher.start()
        tasks = [asyncio.create_task(batcher.detect(picture(value))) for value in (1, 2, 3)]
        while not batcher.busy:
            await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        network.open.set()
        await tasks[0]
        await tasks[2]
        await batcher.stop()
        return network.passes

    assert asyncio.run(work()) == [[1], [3]]


def test_waiting_for_company() -> None:
    async def work(wait: float) -> list[list[int]]:
        network = Network()
        batcher = MicroBatcher(network, 2, wait)
        batcher.start()
        first = asyncio.create_task(batcher.detect(picture(1)))
        await asyncio.sleep(0.05)
        await asyncio.gather(first, batcher.detect(picture(2)))
        await batcher.stop()
        return network.passes

    assert asyncio.run(work(30.0)) == [[1, 2]]  # a full pass waits no longer
    assert asyncio.run(work(0.0)) == [[1], [2]]


def test_nobody_waits_where_nobody_comes() -> None:
    async def work() -> list[list[int]]:
        network = Network()
        coming = True
        batcher = MicroBatcher(network, 2, 30.0, coming=lambda: coming)
        batcher.start()
        async with asyncio.timeout(20):  # of the 30 that a picture may wait
            first = asyncio.create_task(batcher.detect(picture(1)))
            await asyncio.sleep(0.05)
            assert (batcher.waiting, batcher.callers, network.passes) == (1, 1, [])
            await asyncio.gather(first, batcher.detect(picture(2)))
            coming = False
            await batcher.detect(picture(3))
        assert (batcher.waiting, batcher.callers) == (0, 0)
        await batcher.stop()
        return network.passes

    assert asyncio.run(work()) == [[1, 2], [3]]


def test_short_rows_are_filled() -> None:
    def found(rows: int, places: int) -> BatchDetections:
        ones = torch.ones(rows, places)
        return BatchDetections(torch.ones(rows, places, 4), ones, ones.long(), torch.full((rows,), places))

    joined = join([found(2, 1), found(1, 3)])
    assert joined.boxes.shape == (3, 3, 4)
    assert joined.scores.tolist() == [[1, 0, 0], [1, 0, 0], [1, 1, 1]]
    assert joined.count.tolist() == [1, 1, 3]
