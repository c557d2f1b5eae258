"""The training data as one stream that can be taken up again at any micro-batch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from foveal.engine.optim import RunLength
from foveal.engine.processes import largest
from foveal.engine.progress import Progress
from foveal.engine.random_state import RandomState, random_state
from foveal.engine.signals import interrupts_kept_from_children


@runtime_checkable
class ResumableBatchSampler(Protocol):
    """Batch sampler whose order depends on its own seed and the epoch alone, and that can begin in mid-epoch.

    Its state is a dict with at least ``epoch`` and ``next_batch``; the rest is its own (what the order depends
    on), and ``load_state_dict`` may refuse it.
    """

    def set_epoch(self, epoch: int) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class TrainingStream:
    """Micro-batches from where the run stands up to the next validation, epoch after epoch.

    Each iteration gives the batches up to the end of ``validate_every`` epochs or of the run, whichever comes
    first. It has no length, so that the loop around it fetches one batch ahead and knows the last one.
    """

    def __init__(
        self, loader: Iterable[Any], length: RunLength, progress: Progress, validate_every: int
    ) -> None:
        self._loader = loader
        self._length = length
        self._progress = progress
        self._validate_every = validate_every
        self._random_at_start: dict[int, RandomState] = {}
        self.waited = 0.0
        """Seconds spent on waiting for the loader's batches."""

    def random_at_start(self, epoch: int) -> RandomState | None:
        """Random state just before this epoch's order was drawn; None where the epoch has not begun."""
        return self._random_at_start.get(epoch)

    def sampler_state(self) -> dict[str, Any]:
        """State of the loader's batch sampler for the next micro-batch to be trained on; empty without one."""
        sampler = getattr(self._loader, "batch_sampler", None)
        if not isinstance(sampler, ResumableBatchSampler):
            return {}
        return {**sampler.state_dict(), "epoch": self._progress.epoch, "next_batch": self._progress.batch}

    def load_sampler_state(self, state: Mapping[str, Any]) -> None:
        """Let the sampler see the state it is resumed from; it refuses that of other data."""
        sampler = getattr(self._loader, "batch_sampler", None)
        if state and isinstance(sampler, ResumableBatchSampler):
            sampler.load_state_dict(dict(state))

    def __iter__(self) -> Iterator[Any]:
        epoch, first, step = self._progress.epoch, self._progress.batch, self._progress.step
        while step < self._length.steps:
            for index, batch in enumerate(self._epoch(epoch, first), start=first):
                yield batch
                step += self._length.ends_step(index)
                if step == self._length.steps:
                    return
            epoch, first = epoch + 1, 0
            if epoch % self._validate_every == 0:
                return

    def ended(self) -> bool:
        """Whether the run stands where an iteration ends: a validation is next."""
        progress = self._progress
        return progress.step >= self._length.steps or (
            progress.batch == 0 and progress.epoch % self._validate_every == 0
        )

    def _epoch(self, epoch: int, first: int) -> Iterator[Any]:
        """Batches ``first`` and on of one epoch."""
        self._random_at_start = {
            begun: state for begun, state in self._random_at_start.items() if begun >= epoch - 1
        }
        self._random_at_start[epoch] = random_state()
        sampler = getattr(self._loader, "batch_sampler", None)
        if isinstance(sampler, ResumableBatchSampler):
            sampler.set_epoch(epoch)
            sampler.load_state_dict({**sampler.state_dict(), "epoch": epoch, "next_batch": first})
            skipped = 0
        else:
            set_epoch = getattr(getattr(self._loader, "sampler", None), "set_epoch", None)
            if set_epoch is not None:
                set_epoch(epoch)
            skipped = first
        with interrupts_kept_from_children():
            batches = iter(self._loader)
        # Any other loader is made to give its batches again: slow, but the same ones.
        wanted = itertools.islice(batches, skipped, self._length.batches_per_epoch - first + skipped)
        return self._timed(wanted)

    def _timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same batches, while the time that each takes to come is added up."""
        while True:
            began = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.waited += time.perf_counter() - began
            yield batch


class ValidationBatches:
    """The validation loader, behind a plain iterable of one length in all processes: where one has fewer, None."""

    def __init__(self, loader: Iterable[Any]) -> None:
        self._loader = loader
        self._length = largest([len(loader)])[0]  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        with interrupts_kept_from_children():
            batches = iter(self._loader)
        given = 0
        for given, batch in enumerate(batches, start=1):  # noqa: B007
            yield batch
        yield from [None] * (self._length - given)
