"""The body of an inference request of the Open Inference Protocol v2 -> a tensor of pictures.

JSON alone, or JSON and the binary tensor extension (Triton Inference Server,
docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np

from foveal.serve.refusal import Refusal
from foveal.types import Array

INPUT = "images"
OUTPUTS = {"boxes": "FP32", "scores": "FP32", "labels": "INT64", "count": "INT64"}
"""Names and data types, in order."""
SIDE_MULTIPLE = 32
LARGEST_SIDE = 1_000_000_000
EXPECTED = (
    "one input 'images', UINT8, shape [B, 3, H, W]: RGB pictures on the canvas, H and W multiples of 32"
)


def read_tensor(body: bytes, json_bytes: int | None, max_pixels: int) -> tuple[dict[str, Any], Array]:
    """What is asked for (``id``, ``shape``, ``outputs``: name -> whether binary), and [B, 3, H, W] uint8.

    json_bytes: length of the JSON in front of binary tensors; None where there are none. max_pixels: B x H x W at
    most. Refusal 400 for whatever is wrong, with what was expected; 413 for too many pixels.
    """
    size = len(body) if json_bytes is None else json_bytes
    if size > len(body):
        _bad(f"Inference-Header-Content-Length is {size}, but the body has {len(body)} bytes")
    request = _json(body[:size])
    if not isinstance(request, dict):
        _bad("the request is no JSON object")
    name = request.get("id", "")
    if not isinstance(name, str):
        _bad("id must be a string")
    outputs = _outputs(request)
    given = request.get("inputs")
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
        _bad(f"expected {EXPECTED}")
    images = _images(given[0], body[size:], max_pixels)
    return {"id": name, "shape": list(images.shape), "outputs": outputs}, images


def _json(text: bytes) -> Any:
    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no number of JSON")

    try:
        return json.loads(text.decode(), parse_constant=refuse)
    except RecursionError:
        _bad("the request's JSON is nested too deeply")
    except ValueError as error:  # UnicodeDecodeError, too; its words quote the body
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        _bad(
            f"the request is no JSON: {reason}; before binary tensors, "
            "Inference-Header-Content-Length gives the JSON's length"
        )


def _outputs(request: dict[str, Any]) -> dict[str, bool]:
    """Which outputs are wanted, and whether each in binary."""
    binary = _flag(_parameters(request), "binary_data_output", False)
    wanted = request.get("outputs")
    if wanted is None or wanted == []:
        wanted = [{"name": name} for name in OUTPUTS]
    if not isinstance(wanted, list) or not all(isinstance(output, dict) for output in wanted):
        _bad("outputs must be a list of objects with a name")
    chosen: dict[str, bool] = {}
    for output in wanted:
        name, parameters = output.get("name"), _parameters(output)
        if not isinstance(name, str) or name not in OUTPUTS:
            _bad(f"no output {str(name)[:50]!r}; there are {', '.join(OUTPUTS)}")
        if name in chosen:
            _bad(f"output {name!r} is asked for twice")
        for unknown in ("classification", "shared_memory_region"):
            if unknown in parameters:
                _bad(f"output {name!r}: {unknown} is not supported")
        chosen[name] = _flag(parameters, "binary_data", binary)
    return chosen


def _images(given: dict[str, Any], binary: bytes, max_pixels: int) -> Array:
    if given.get("name") != INPUT:
        _bad(f"no input {str(given.get('name'))[:50]!r}; expected {EXPECTED}")
    if given.get("datatype") != "UINT8":
        _bad(f"datatype of 'images' is {str(given.get('datatype'))[:50]!r}; expected {EXPECTED}")
    shape = _shape(given.get("shape"), max_pixels)
    parameters = _parameters(given)
    if "shared_memory_region" in parameters:
        _bad("shared memory is not supported: send the tensor in the request")
    length = parameters.get("binary_data_size")
    if length is not None:
        if "data" in given:
            _bad("'images' comes twice: as data, and by binary_data_size")
        return _from_bytes(binary, length, shape)
    if "data" not in given:
        _bad("'images' has neither data nor binary_data_size")
    if binary:
        _bad(f"{len(binary)} bytes follow the JSON, but 'images' has no binary_data_size")
    return _from_numbers(given["data"], shape)


def _shape(shape: Any, max_pixels: int) -> tuple[int, ...]:
    whole = isinstance(shape, list) and len(shape) == 4 and all(type(side) is int for side in shape)
    if not whole or min(shape) < 1 or shape[1] != 3 or shape[2] % SIDE_MULTIPLE or shape[3] % SIDE_MULTIPLE:
        _bad(f"shape of 'images' is {str(shape)[:80]}; expected {EXPECTED}")
    # Python refuses to write numbers of thousands of digits.
    if max(shape) > LARGEST_SIDE:
        _bad(f"shape of 'images' has a side over {LARGEST_SIDE:,}; expected {EXPECTED}")
    pixels = shape[0] * shape[2] * shape[3]
    if pixels > max_pixels:
        raise Refusal(413, f"'images' has {pixels:,} pixels; this server takes {max_pixels:,} in a request")
    return tuple(shape)


def _from_bytes(binary: bytes, length: Any, shape: tuple[int, ...]) -> Array:
    needed = int(np.prod(shape, dtype=np.int64))
    if type(length) is not int or length != needed:
        _bad(f"binary_data_size is {str(length)[:50]}; shape {list(shape)} of UINT8 has {needed} bytes")
    if len(binary) != length:
        _bad(f"binary_data_size is {length}, but {len(binary)} bytes follow the JSON")
    return np.frombuffer(binary, dtype=np.uint8).reshape(shape)


def _from_numbers(data: Any, shape: tuple[int, ...]) -> Array:
    """data: nested as the shape is, or flat."""
    try:
        values = np.asarray(data)
    except ValueError:
        values = np.empty(0, dtype=object)
    if values.dtype.kind not in "iu":
        _bad("data of 'images' must be whole numbers 0..255, nested as the shape is, or one flat list")
    if values.shape != shape and values.shape != (int(np.prod(shape, dtype=np.int64)),):
        _bad(f"data of 'images' is of shape {list(values.shape)}; the request says {list(shape)}")
    if values.min() < 0 or values.max() > 255:
        _bad(f"data of 'images' has {values.min()}..{values.max()}; UINT8 is 0..255")
    return np.ascontiguousarray(values.reshape(shape), dtype=np.uint8)


def _parameters(thing: dict[str, Any]) -> dict[str, Any]:
    parameters = thing.get("parameters") or {}
    if not isinstance(parameters, dict):
        _bad("parameters must be an object")
    return parameters


def _flag(parameters: dict[str, Any], key: str, default: bool) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        _bad(f"{key} must be true or false")
    return value


def _bad(message: str) -> NoReturn:
    raise Refusal(400, message)
