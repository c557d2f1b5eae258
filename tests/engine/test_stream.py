"""The stream of micro-batches begins and ends where the run says."""

import pytest

from foveal.config.schema import Training
from foveal.engine.optim import run_length
from foveal.engine.progress import Progress
from foveal.engine.random_state import random_state, restore_random_state
from foveal.engine.stream import ResumableBatchSampler, TrainingStream


def collect(stream, progress, length):
    """Picture ids of each span, driving the progress as training does."""
    spans = []
    while progress.step < length.steps:
        span = []
        for batch in stream:
            span.append(batch.image_ids)
            progress.advance(length)
        assert stream.ended()
        spans.append(span)
    return spans


@pytest.mark.parametrize(
    ("settings", "every", "spans"),
    [
        ({"epochs": 3}, 1, [7, 7, 7]),
        ({"epochs": 3}, 2, [14, 7]),
        ({"max_steps": 9}, 1, [7, 2]),
        ({"max_steps": 4, "accumulate": 3}, 1, [7, 3]),
        ({"max_steps": 3}, 5, [3]),
    ],
)
def test_spans_end_at_validations(tiny, settings, every, spans):
    length, progress = run_length(Training(**settings), 7), Progress()
    stream = TrainingStream(tiny.make_loader(), length, progress, every)
    assert [len(span) for span in collect(stream, progress, length)] == spans
    assert progress.step == length.steps


@pytest.mark.parametrize("kind", ["make_loader", "sampled_loader"])
def test_a_stream_taken_up_gives_the_rest(tiny, kind):
    length = run_length(Training(epochs=2), 7)
    before = random_state()
    whole = collect(
        TrainingStream(getattr(tiny, kind)(), length, progress := Progress(), 1), progress, length
    )
    restore_random_state(before)
    progress = Progress(epoch=0, batch=3, step=3)
    rest = collect(TrainingStream(getattr(tiny, kind)(), length, progress, 1), progress, length)
    assert rest == [whole[0][3:], whole[1]]


def test_epochs_differ(tiny):
    length, progress = run_length(Training(epochs=2), 7), Progress()
    first, second = collect(TrainingStream(tiny.sampled_loader(), length, progress, 1), progress, length)
    assert first != second
    assert sorted(sum(first, ())) == sorted(sum(second, ())) == list(range(26))


def test_the_kinds_of_sampler_are_told_apart(tiny):
    assert isinstance(tiny.sampled_loader().batch_sampler, ResumableBatchSampler)
    assert not isinstance(tiny.make_loader().batch_sampler, ResumableBatchSampler)
