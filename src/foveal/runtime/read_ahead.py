"""Work done ahead of its use, in threads: in order, with a bound on what waits in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, NamedTuple, TypeVar

from foveal.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
Stop = Callable[[], bool]
Reserve = Callable[[int], None]
"""Called with bytes before they are taken; waits until there is room."""

ROOM = 256 << 20
"""Bytes of decoded pictures that may wait. A larger one is loaded when it is its turn, alone."""
POLL = 0.2
"""Seconds after which a wait looks whether it is to end."""


class Loaded(NamedTuple, Generic[Item, Result]):
    """An item, and what became of it."""

    item: Item
    result: Result | DataError


class _Room:
    """Bytes that are taken before they are used; what is asked for next is never made to wait."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[int, int] = {}
        self._wanted = 0
        self._changed = threading.Condition()
        self._closed = False

    def reserve(self, place: int, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or place <= self._wanted or self._fits(size))
            self._taken[place] = size

    def want(self, place: int) -> None:
        with self._changed:
            self._wanted = place
            self._changed.notify_all()

    def release(self, places: Iterable[int]) -> None:
        with self._changed:
            for place in places:
                self._taken.pop(place, None)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def taken(self, places: Iterable[int]) -> int:
        with self._changed:
            return sum(self._taken.get(place, 0) for place in places)

    def _fits(self, size: int) -> bool:
        return sum(self._taken.values()) + size <= self._limit


def read_groups(
    items: Iterable[Item],
    load: Callable[[Item, Reserve], Result],
    size: int = 1,
    workers: int = 0,
    stopped: Stop | None = None,
    room: int = ROOM,
) -> Iterator[list[Loaded[Item, Result]]]:
    """Groups of ``size`` loaded items, in order; a DataError of ``load`` stands in the place of its result.

    load: called in ``workers`` threads, or here where that is 0; it reserves what it is to hold. A group ends
    early where its items fill half of the room. stopped: asked now and then; true ends the groups. An item is
    taken from ``items`` in the thread of the caller, at most two groups and the workers' own ahead.
    """
    if not workers:
        yield from _read_here(items, load, size)
        return
    source, bound = iter(items), _Room(room)
    waiting: deque[tuple[int, Item, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(workers, "read-ahead")
    asked = 0
    try:
        while True:
            group: list[Loaded[Item, Result]] = []
            places: list[int] = []
            while len(group) < size and bound.taken(places) <= room // 2:
                for item in _next(source, 2 * size + workers - len(waiting)):
                    waiting.append((asked, item, pool.submit(load, item, _reserve(bound, asked))))
                    asked += 1
                if not waiting:
                    break
                place, item, future = waiting.popleft()
                bound.want(place)
                result = _wait(future, stopped)
                if result is None:
                    return
                group.append(Loaded(item, result))
                places.append(place)
                # What is given out is held by nobody here: room for the next is room in memory.
                del item, future, result
            if not group:
                return
            yield group
            del group
            bound.release(places)
    finally:
        bound.close()
        pool.shutdown(wait=True, cancel_futures=True)


def _read_here(
    items: Iterable[Item], load: Callable[[Item, Reserve], Result], size: int
) -> Iterator[list[Loaded[Item, Result]]]:
    source = iter(items)
    while wanted := _next(source, size):
        yield [Loaded(item, _attempt(load, item)) for item in wanted]


def _attempt(load: Callable[[Item, Reserve], Result], item: Item) -> Result | DataError:
    try:
        return load(item, lambda _: None)
    except DataError as error:
        return error


def _next(source: Iterator[Item], count: int) -> list[Item]:
    return [item for _, item in zip(range(count), source, strict=False)]


def _reserve(bound: _Room, place: int) -> Reserve:
    return lambda size: bound.reserve(place, size)


def _wait(future: Future[Result], stopped: Stop | None) -> Result | DataError | None:
    """The result; None where waiting was stopped."""
    while stopped is None or not stopped():
        # Not ``result(POLL)``: its TimeoutError cannot be told from one of the load's own.
        if wait([future], POLL).done:
            try:
                return future.result()
            except DataError as error:
                return error
    return None
