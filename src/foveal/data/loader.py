"""Records -> batches: loading, augmenting and letterboxing, the same for any number of worker processes."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import warnings
import weakref
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

import torch
from torch.utils.data import DataLoader

from foveal.config.schema import Augment
from foveal.data.pictures import Pictures, Unreadable, collate, unpack
from foveal.data.records import Records
from foveal.data.sampler import BatchSampler, class_aware_weights
from foveal.data.tiled import TiledRecords
from foveal.errors import DataError
from foveal.types import Batch

logger = logging.getLogger("foveal.data")


GRACE_SECONDS = 8.0
"""So long does a worker outlive a SIGTERM."""
INSTEAD: dict[Unreadable, str] = {"next": "replaced by the next one", "blank": "its boxes count as missed"}


class Loader(DataLoader[Any]):
    """Yields ``Batch``; ``state_dict`` is exact whatever the workers have read ahead.

    ``unreadable`` lists the pictures that could not be read, each reported once by a warning in the log.
    """

    batch_sampler: BatchSampler
    dataset: Pictures

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unreadable: dict[str, None] = {}
        self._finalizer: weakref.finalize[Any, Loader] | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """One epoch; after ``load_state_dict`` its rest."""
        epoch, used = self.batch_sampler.epoch, self.batch_sampler.start
        with warnings.catch_warnings():
            # Workers run single-threaded code only, so forking beside the parent's threads is safe.
            warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
            batches = super().__iter__()
        self._stop_workers_with_me()
        for packed in batches:
            if isinstance(packed, DataError):
                # A new error: one that its own frame holds would keep the workers alive.
                raise DataError(str(packed))
            used += 1
            self.batch_sampler.advance(epoch, used)
            self._report(packed.unreadable)
            yield unpack(packed)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """A line for every unreadable picture met so far."""
        return tuple(self._unreadable)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch; nothing happens where it has already begun."""
        self.batch_sampler.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Which epoch and batch come next."""
        return self.batch_sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where the state was taken. UsageError where the data or batch size changed."""
        self.batch_sampler.load_state_dict(state)

    def _stop_workers_with_me(self) -> None:
        # Left to the garbage collector, the queues close before the workers were told to stop, and each
        # worker is then waited for in vain for five seconds.
        workers: Any = self._iterator
        if workers is not None and self._finalizer is None:
            self._finalizer = weakref.finalize(self, workers._shutdown_workers)

    def _report(self, lines: tuple[str, ...]) -> None:
        for line in lines:
            if line not in self._unreadable:
                self._unreadable[line] = None
                logger.warning("unreadable picture, %s: %s", INSTEAD[self.dataset.unreadable], line)


def make_loader(
    records: Records,
    image_size: tuple[int, int],
    batch_size: int,
    *,
    augment: Augment | None = None,
    train: bool,
    seed: int = 0,
    workers: int = 2,
    class_aware: bool = False,
    strict: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> Loader:
    """Loader of a split.

    image_size: (height, width), rounded up to whole strides of the network.
    train: shuffles, augments, drops an incomplete last batch (unless it is the only one), and replaces an
    unreadable picture by the next one. Otherwise: every picture once, in order, as it is, and an unreadable
    one as an empty canvas, so that its boxes count as missed. Both are reported; with ``strict`` they are a
    DataError. batch_size is per process; rank, world_size: see ``BatchSampler``.
    """
    if len(records) == 0:
        raise DataError(f"{records.root}: no pictures")
    workers = _worker_count(workers)
    tiles = records if isinstance(records, TiledRecords) else None
    sampler = BatchSampler(
        len(records),
        batch_size,
        image_size,
        seed=seed,
        shuffle=train,
        drop_last=train,
        weights=class_aware_weights(records) if train and class_aware else None,
        multi_scale=augment.multi_scale if train and augment is not None else None,
        groups=None if tiles is None else tiles.picture,
        mixed=1 if tiles is None else tiles.mixed,
        rank=rank,
        world_size=world_size,
    )
    unreadable: Unreadable = "error" if strict else "next" if train else "blank"
    pictures = Pictures(records, augment if train else None, seed, unreadable)
    return Loader(
        pictures,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_start_worker,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        # Fork starts at once and shares the records' memory; elsewhere than on Linux it is not safe.
        multiprocessing_context=("fork" if sys.platform == "linux" else "spawn") if workers > 0 else None,
        # A generator of its own: starting an epoch must not move the training's random numbers.
        generator=torch.Generator().manual_seed(seed % 2**32),
    )


def _worker_count(wanted: int) -> int:
    """No more workers than cores: more only take turns. The batches are the same."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(wanted, len(affinity(0)) if affinity else os.cpu_count() or 1)


def _start_worker(_: int) -> None:
    # What is sent to the whole group (Ctrl-C; torchrun's and timeout's SIGTERM), or to each process (systemd's and
    # SLURM's), is for the main process, which saves and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGTERM, _end_soon)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    sys.excepthook = _report_unless_cut_off
    torch.set_num_threads(1)
    # A garbage collection writes into every object that it visits, and so would copy the parent's memory.
    gc.freeze()


def _end_soon(number: int, frame: FrameType | None) -> None:
    """The main process may need another batch to come to where it can save: SIGALRM ends this one later."""
    signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)


def _report_unless_cut_off(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Worker's report of an error in a thread; a main process that stops mid-hand-over is none."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
