"""Reading ahead: order, errors in their place, and never more in memory than there is room for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator

import pytest

from foveal.errors import DataError, UsageError
from foveal.runtime.read_ahead import Reserve, read_groups


def double(item: int, reserve: Reserve) -> int:
    if item % 5 == 3:
        raise DataError(f"{item} is bad")
    reserve(1)
    return 2 * item


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 4])
def test_in_order_with_errors_in_their_place(size: int, workers: int) -> None:
    groups = list(read_groups(range(10), double, size, workers))
    assert [len(group) for group in groups] == ([1] * 10 if size == 1 else [4, 4, 2])
    flat = [loaded for group in groups for loaded in group]
    assert [loaded.item for loaded in flat] == list(range(10))
    for item, result in flat:
        assert str(result) == f"{item} is bad" if item % 5 == 3 else result == 2 * item


def test_nothing_to_read() -> None:
    assert list(read_groups([], double, 2, 2)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_items_are_taken_no_further_ahead_than_two_groups(workers: int) -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    groups = read_groups(source(), lambda item, _: item, 3, workers)
    next(groups)
    assert len(taken) <= (3 if workers == 0 else 3 + 2 * 3 + workers)
    groups.close()


def test_large_items_wait_for_their_turn() -> None:
    """Room for 100: items of 40 wait two at a time; one of 500 is loaded alone, and nothing hangs."""
    lock, held, most = threading.Lock(), dict[int, int](), 0
    sizes = [40, 40, 40, 500, 40, 300, 300, 1]

    def load(item: int, reserve: Reserve) -> int:
        nonlocal most
        reserve(sizes[item])
        with lock:
            held[item] = sizes[item]
            most = max(most, sum(held.values()) if sizes[item] < 100 else 0)
        return item

    seen = []
    for group in read_groups(range(len(sizes)), load, 4, 3, room=100):
        seen += [loaded.item for loaded in group]
        assert sum(sizes[loaded.item] for loaded in group[:-1]) <= 50
        with lock:
            for loaded in group:
                del held[loaded.item]
    assert seen == list(range(len(sizes)))
    assert most <= 500 + 140  # never a second large one beside the first


def test_other_errors_are_raised_and_no_thread_is_left() -> None:
    def fail(item: int, reserve: Reserve) -> int:
        if item == 2:
            raise UsageError("install it")
        return item

    before = threading.active_count()
    with pytest.raises(UsageError, match="install it"):
        list(read_groups(range(50), fail, 1, 2))
    assert threading.active_count() == before


def test_it_stops_while_it_waits() -> None:
    release = threading.Event()

    def slow(item: int, reserve: Reserve) -> int:
        release.wait(30)
        return item

    stop = threading.Event()
    groups = read_groups(range(5), slow, 1, 1, stop.is_set)
    threading.Timer(0.3, stop.set).start()
    threading.Timer(0.5, release.set).start()
    assert list(groups) == []


def test_an_own_timeout_of_the_load_is_raised() -> None:
    def fail(item: int, reserve: Reserve) -> int:
        raise TimeoutError("the disk is gone")

    with pytest.raises(TimeoutError, match="the disk is gone"):
        list(read_groups([1], fail, 1, 1))


class Pixels:
    """Stands for a large picture."""


@pytest.mark.parametrize("workers", [0, 1])
def test_what_was_given_out_is_not_held(workers: int) -> None:
    """Room that is given back is room in memory: when the next is loaded, nothing here holds the last."""
    made: list[weakref.ref[Pixels]] = []
    alive: list[int] = []

    def load(item: int, reserve: Reserve) -> Pixels:
        reserve(100)
        alive.append(sum(one() is not None for one in made))
        pixels = Pixels()
        made.append(weakref.ref(pixels))
        return pixels

    for group in read_groups(range(6), load, 1, workers, room=50):
        assert len(group) == 1
        del group
    assert alive == [0] * 6
