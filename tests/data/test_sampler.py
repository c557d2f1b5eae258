"""Order of pictures: complete, seeded, sharded, weighted and resumable."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest

import numpy as np
import pytest

from foveal.data.sampler import BatchSampler, Item, class_aware_weights
from foveal.data.shapes import make_shapes
from foveal.errors import UsageError

SIZE = (96, 128)


def pictures(batches: list[list[Item]]) -> list[int]:
    return [item.picture for batch in batches for item in batch]


def test_an_epoch_holds_every_picture_once() -> None:
    sampler = BatchSampler(23, 5, SIZE, seed=1)
    batches = list(sampler)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert len(sampler) == 5
    assert sorted(pictures(batches)) == list(range(23))
    assert pictures(batches) != list(range(23))
    assert pictures(list(BatchSampler(23, 5, SIZE, shuffle=False))) == list(range(23))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first, again, other = (BatchSampler(40, 4, SIZE, seed=seed) for seed in (1, 1, 2))
    assert list(first) == list(again)
    assert pictures(list(first)) != pictures(list(other))
    again.set_epoch(1)
    assert pictures(list(again)) != pictures(list(first))
    assert {item.epoch for batch in again for item in batch} == {1}


def test_incomplete_batch() -> None:
    assert [len(batch) for batch in BatchSampler(10, 4, SIZE, drop_last=True)] == [4, 4]
    assert [len(batch) for batch in BatchSampler(3, 4, SIZE, drop_last=True)] == [3]
    assert len(BatchSampler(3, 4, SIZE, drop_last=True)) == 1


def test_resume_continues_at_the_next_batch() -> None:
    whole = BatchSampler(30, 4, SIZE, seed=5, multi_scale=[0.5, 1.0, 2.0])
    whole.set_epoch(2)
    expected = list(whole)
    whole.advance(2, 3)
    resumed = BatchSampler(30, 4, SIZE, seed=5, multi_scale=[0.5, 1.0, 2.0])
    resumed.load_state_dict(whole.state_dict())
    resumed.set_epoch(2)
    assert list(resumed) == expected[3:]
    assert list(resumed) == expected, "only the first pass is shortened"
    whole.advance(2, len(whole))
    assert (whole.epoch, whole.next_batch) == (3, 0)


def test_state_of_another_order_is_refused() -> None:
    state = BatchSampler(30, 4, SIZE).state_dict()
    with pytest.raises(UsageError, match="pictures was 30, now it is 31"):
        BatchSampler(31, 4, SIZE).load_state_dict(state)
    with pytest.raises(UsageError, match="global_batch_size was 4"):
        BatchSampler(30, 8, SIZE).load_state_dict(state)
    with pytest.raises(UsageError, match="mixed was None, now it is 2"):
        BatchSampler(30, 4, SIZE, groups=np.arange(30), mixed=2).load_state_dict(state)
    # The same global batch on two processes is the same order.
    BatchSampler(30, 2, SIZE, rank=1, world_size=2).load_state_dict(state)


def test_ranks_share_the_batches_of_one_process() -> None:
    alone = list(BatchSampler(32, 8, SIZE, seed=3, multi_scale=[0.5, 1.0]))
    ranks = [
        list(BatchSampler(32, 4, SIZE, seed=3, multi_scale=[0.5, 1.0], rank=rank, world_size=2))
        for rank in range(2)
    ]
    assert [a + b for a, b in zip(*ranks, strict=True)] == alone


def test_ranks_on_a_small_set() -> None:
    training = [BatchSampler(5, 4, SIZE, drop_last=True, rank=r, world_size=2) for r in range(2)]
    assert [[len(batch) for batch in sampler] for sampler in training] == [[3], [3]]


def test_without_shuffle_whole_batches_are_dealt_in_turn() -> None:
    alone = list(BatchSampler(23, 4, SIZE, shuffle=False))
    for count in (2, 3, 7):
        ranks = [BatchSampler(23, 4, SIZE, shuffle=False, rank=r, world_size=count) for r in range(count)]
        dealt = [list(sampler) for sampler in ranks]
        assert [len(sampler) for sampler in ranks] == [len(batches) for batches in dealt]
        assert [batch for turn in zip_longest(*dealt) for batch in turn if batch] == alone


def test_multi_scale_is_one_canvas_a_batch() -> None:
    sampler = BatchSampler(400, 4, SIZE, seed=0, multi_scale=[0.5, 1.0, 1.5])
    canvases = [{item.canvas for item in batch} for batch in sampler]
    assert all(len(sizes) == 1 for sizes in canvases)
    counts = Counter(size for sizes in canvases for size in sizes)
    assert set(counts) == {(64, 64), (96, 128), (160, 192)}
    assert min(counts.values()) > 15
    assert {item.canvas for batch in BatchSampler(4, 2, (70, 40)) for item in batch} == {(96, 64)}


def test_weights_repeat_pictures_by_their_weight() -> None:
    weights = np.ones(100)
    weights[:10] = 4.0
    sampler = BatchSampler(100, 10, SIZE, seed=0, weights=weights)
    batches = list(sampler)
    counts = Counter(pictures(batches))
    assert sum(counts.values()) == 100
    expected = 100 * weights / weights.sum()
    for picture in range(100):
        assert int(expected[picture]) <= counts[picture] <= int(expected[picture]) + 1
    draws = [(item.picture, item.occurrence) for batch in batches for item in batch]
    assert len(set(draws)) == 100, "a repeated picture must be told apart"
    assert max(occurrence for _, occurrence in draws) >= 2


def test_class_aware_weights_follow_the_equation() -> None:
    records = make_shapes(50, classes=4, size=64, seed=0, empty_share=0.2)
    holds = np.zeros((50, 4), dtype=bool)
    for picture in range(50):
        holds[picture, records.rows(picture).labels] = True
    frequency = holds.mean(0)
    for threshold in (None, 0.9):
        t = frequency.mean() if threshold is None else threshold
        repeat = np.maximum(1, np.sqrt(t / frequency))
        expected = [repeat[row].max() if row.any() else 1.0 for row in holds]
        np.testing.assert_allclose(class_aware_weights(records, threshold), expected)
    np.testing.assert_array_equal(class_aware_weights(make_shapes(3, empty_share=1)), np.ones(3))


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="rank 2"):
        BatchSampler(4, 2, SIZE, rank=2, world_size=2)
    with pytest.raises(ValueError, match="batch_size 0"):
        BatchSampler(4, 0, SIZE)
    with pytest.raises(ValueError, match="4 positive numbers"):
        BatchSampler(4, 2, SIZE, weights=np.zeros(4))
