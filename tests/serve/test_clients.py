"""Programs of others: NVIDIA's client as it is, and schemathesis with our own document."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foveal.runtime.pictures import load_picture, place_picture
from foveal.runtime.predictor import Predictor


@pytest.fixture(scope="module")
def triton() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("tritonclient.http")


@pytest.mark.filterwarnings("ignore")
def test_tritonclient_with_default_arguments(
    server: Any, triton: Any, trained: Any, pictures: list[Path]
) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("shapes")
    assert client.is_model_ready("shapes", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("shapes")
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 3, -1, -1]}]
    assert [(row["name"], row["datatype"]) for row in metadata["outputs"]] == [
        ("boxes", "FP32"), ("scores", "FP32"), ("labels", "INT64"), ("count", "INT64"),
    ]  # fmt: skip

    predictor = Predictor(trained.best, "cpu")
    images = torch.stack([place_picture(load_picture(path), predictor.canvas)[0] for path in pictures[:3]])
    with torch.inference_mode():
        expected = predictor.model(images)
    assert int(expected.count.min()) > 0
    given = triton.InferInput("images", list(images.shape), "UINT8")
    given.set_data_from_numpy(images.numpy())
    in_json = triton.InferInput("images", list(images.shape), "UINT8")
    in_json.set_data_from_numpy(images.numpy(), binary_data=False)
    wanted = [triton.InferRequestedOutput(name, binary_data=name == "labels") for name in expected._fields]
    for answer in (
        client.infer("shapes", [given]),
        client.infer("shapes", [in_json], outputs=wanted, model_version="1"),
        client.async_infer("shapes", [given], request_id="seven").get_result(),
    ):
        for name, column in expected._asdict().items():
            found = answer.as_numpy(name)
            assert found.dtype == column.numpy().dtype
            np.testing.assert_allclose(found, column.numpy(), rtol=0, atol=1e-3)
    assert answer.get_response()["id"] == "seven"

    # A packed answer is an offer that a server may leave; a packed body it must take or refuse.
    assert (
        client.infer("shapes", [given], response_compression_algorithm="gzip").as_numpy("count") is not None
    )
    with pytest.raises(Exception, match=r"Content-Encoding 'gzip' is not taken"):
        client.infer("shapes", [given], request_compression_algorithm="gzip")
    for beyond in (client.get_model_config, client.get_inference_statistics):
        with pytest.raises(Exception, match=r"no such address: /v2/models/shapes/"):
            beyond("shapes")

    wrong = triton.InferInput("images", [1, 3, 96, 128], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 3, 96, 128), np.float32))
    with pytest.raises(
        Exception, match=r"datatype of 'images' is 'FP32'; expected one input 'images', UINT8"
    ):
        client.infer("shapes", [wrong])
    client.close()


@pytest.mark.filterwarnings("ignore")
def test_schemathesis_from_our_own_document(server: Any) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        response_schema_conformance,
        status_code_conformance,
        unsupported_method,
    )

    document = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    checks = [not_a_server_error, status_code_conformance, response_schema_conformance, unsupported_method]
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) >= 14
    answered = 0
    for operation in operations:

        @settings(
            max_examples=6, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            nonlocal answered
            case.call_and_validate(checks=checks)
            answered += 1

        check()
    assert answered > len(operations)
