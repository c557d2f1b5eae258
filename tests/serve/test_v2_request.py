"""Bodies of the v2 protocol -> tensors, or one line with what was expected."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.serve.refusal import Refusal
from foveal.serve.v2_request import read_tensor

LIMIT = 100_000
PIXELS = np.arange(2 * 3 * 32 * 64, dtype=np.int64).reshape(2, 3, 32, 64) % 256
SHAPE = [2, 3, 32, 64]


def tensor(**changes: Any) -> dict[str, Any]:
    given = {"name": "images", "datatype": "UINT8", "shape": SHAPE, "data": PIXELS.tolist(), **changes}
    return {key: value for key, value in given.items() if value is not None}


def body(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


def binary(**changes: Any) -> tuple[bytes, int]:
    given = {"data": None, "parameters": {"binary_data_size": PIXELS.size}, **changes}
    head = body(tensor(**given))
    return head + PIXELS.astype(np.uint8).tobytes(), len(head)


def test_nested_flat_and_binary_are_the_same() -> None:
    flat = body(tensor(data=PIXELS.reshape(-1).tolist()))
    for content, length in ((body(tensor()), None), (flat, None), (flat, len(flat)), binary()):
        asked, images = read_tensor(content, length, LIMIT)
        assert images.dtype == np.uint8
        assert (images == PIXELS).all()
        assert asked["shape"] == SHAPE
        assert asked["id"] == ""


def test_outputs() -> None:
    def asked(**more: Any) -> dict[str, bool]:
        return read_tensor(body(tensor(), **more), None, LIMIT)[0]["outputs"]

    assert asked() == dict.fromkeys(("boxes", "scores", "labels", "count"), False)
    assert asked(parameters={"binary_data_output": True}) == dict.fromkeys(
        ("boxes", "scores", "labels", "count"), True
    )
    chosen = [{"name": "count"}, {"name": "boxes", "parameters": {"binary_data": False}}]
    assert asked(outputs=chosen) == {"count": False, "boxes": False}
    assert asked(outputs=chosen, parameters={"binary_data_output": True}) == {"count": True, "boxes": False}


@pytest.mark.parametrize(
    ("content", "length", "said"),
    [
        (b"", None, "the request is no JSON"),
        (b"\xff\xfe", None, "the request is no JSON: not UTF-8"),
        (b"[1]", None, "the request is no JSON object"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"inputs": [NaN]}', None, "NaN is no number of JSON"),
        (b"{}", 5, "Inference-Header-Content-Length is 5, but the body has 2 bytes"),
        (b"{}", None, "expected one input 'images', UINT8, shape [B, 3, H, W]"),
        (body(), None, "expected one input 'images'"),
        (body(tensor(), tensor()), None, "expected one input 'images'"),
        (body(tensor(), id=7), None, "id must be a string"),
        (body(tensor(name="x")), None, "no input 'x'; expected one input 'images'"),
        (body(tensor(datatype="FP32")), None, "datatype of 'images' is 'FP32'; expected"),
        (body(tensor(shape=[1, 3, 32])), None, "shape of 'images' is [1, 3, 32]; expected"),
        (body(tensor(shape=[1, 32, 32, 3])), None, "shape of 'images' is [1, 32, 32, 3]; expected"),
        (body(tensor(shape=[1, 3, 33, 32])), None, "multiples of 32"),
        (body(tensor(shape=[0, 3, 32, 32])), None, "shape of 'images' is [0, 3, 32, 32]"),
        (body(tensor(shape=[True, 3, 32, 32])), None, "shape of 'images'"),
        (body(tensor(shape=[10**4000, 3, 32, 32])), None, "has a side over 1,000,000,000"),
        (
            body(tensor(shape=[2, 3, 64, 64])),
            None,
            "of shape [2, 3, 32, 64]; the request says [2, 3, 64, 64]",
        ),
        (body(tensor(data=None)), None, "'images' has neither data nor binary_data_size"),
        (body(tensor(data=[256] * PIXELS.size)), None, "256..256; UINT8 is 0..255"),
        (body(tensor(data=[-1] * PIXELS.size)), None, "-1..-1; UINT8 is 0..255"),
        (body(tensor(data=[0.5] * PIXELS.size)), None, "must be whole numbers 0..255"),
        (body(tensor(data=[[1], [2, 3]])), None, "must be whole numbers 0..255"),
        (body(tensor(data="x")), None, "must be whole numbers 0..255"),
        (body(tensor(), parameters=[]) + b"x", None, "the request is no JSON"),
        (body(tensor()) + b"xyz", len(body(tensor())), "3 bytes follow the JSON"),
        (
            binary()[0][:-1],
            binary()[1],
            f"binary_data_size is {PIXELS.size}, but {PIXELS.size - 1} bytes follow",
        ),
        (*binary(parameters={"binary_data_size": 5}), f"of UINT8 has {PIXELS.size} bytes"),
        (*binary(parameters={"binary_data_size": "5"}), f"of UINT8 has {PIXELS.size} bytes"),
        (*binary(parameters={"binary_data_size": "\ud800"}), "binary_data_size is ?;"),
        (*binary(parameters={"shared_memory_region": "a"}), "shared memory is not supported"),
        (*binary(data=[1]), "'images' comes twice"),
        (body(tensor(), outputs=[{"name": "masks"}]), None, "no output 'masks'; there are boxes, scores"),
        (body(tensor(), outputs=[{"name": "boxes"}] * 2), None, "output 'boxes' is asked for twice"),
        (body(tensor(), outputs=[3]), None, "outputs must be a list of objects"),
        (body(tensor(), outputs={}), None, "outputs must be a list of objects"),
        (
            body(tensor(), outputs=[{"name": "boxes", "parameters": {"binary_data": "false"}}]),
            None,
            "binary_data must be true or false",
        ),
        (
            body(tensor(), parameters={"binary_data_output": 1}),
            None,
            "binary_data_output must be true or false",
        ),
        (
            body(tensor(), outputs=[{"name": "scores", "parameters": {"classification": 2}}]),
            None,
            "classification is not supported",
        ),
    ],
)
def test_wrong_bodies(content: bytes, length: int | None, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_tensor(content, length, LIMIT)
    assert caught.value.status == 400
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_too_many_pixels() -> None:
    with pytest.raises(
        Refusal, match=r"'images' has 4,096 pixels; this server takes 4,095 in a request"
    ) as caught:
        read_tensor(body(tensor()), None, 4_095)
    assert caught.value.status == 413


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5),
    max_leaves=20,
)
KEYS = st.sampled_from(["name", "datatype", "shape", "data", "parameters"])
NEAR = st.dictionaries(KEYS, JSON, max_size=3).map(lambda changes: tensor(**changes))


@settings(max_examples=200, deadline=None)
@given(
    request=JSON | st.builds(lambda one, more: {"inputs": [one], **more}, NEAR, st.dictionaries(
        st.sampled_from(["id", "outputs", "parameters"]), JSON, max_size=2
    )),
    tail=st.binary(max_size=9),
    cut=st.none() | st.integers(0, 200),
)  # fmt: skip
def test_any_body_is_read_or_refused(request: Any, tail: bytes, cut: int | None) -> None:
    try:
        _, images = read_tensor(json.dumps(request).encode() + tail, cut, LIMIT)
    except Refusal as refusal:
        assert refusal.status in (400, 413)  # noqa: PT017
    else:
        assert images.ndim == 4
