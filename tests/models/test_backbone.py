"""Backbones by stride, with weights by name, by file, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from foveal.checkpoint.format import save_checkpoint
from foveal.checkpoint.header import CheckpointHeader
from foveal.errors import ModelFileError, UsageError
from foveal.models.backbone import Backbone
from foveal.models.frozen_norm import FrozenBatchNorm2d
from foveal.types import ClassNames


@pytest.fixture(scope="module")
def mobilenet_file(shared: Path) -> Path:
    path = shared / "weights" / "mobilenet_v2_imagenet.safetensors"
    if not path.exists():
        pytest.skip("no MobileNetV2 weights in the shared folder")
    return path


@pytest.fixture(scope="module")
def photo(shared: Path) -> Tensor:
    """[1, 3, 256, 320] float in [0, 1]."""
    picture = Image.open(shared / "data" / "photos" / "pets.jpg").convert("RGB").resize((320, 256))
    return functional.pil_to_tensor(picture)[None].float() / 255


def norms(module: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [m for m in module.modules() if isinstance(m, kind)]


class TestShapes:
    @pytest.mark.parametrize(
        ("name", "settings", "channels"),
        [
            ("resnet18", {}, (128, 256, 512)),
            ("resnet18", {"min_level": 2}, (64, 128, 256, 512)),
            ("resnet18", {"min_level": 4}, (256, 512)),
            ("mobilenetv2_100", {}, (32, 96, 320)),
            ("mobilenetv2_100", {"c5": "conv_head"}, (32, 96, 1280)),
            ("efficientnet_lite0", {"c5": "conv_head", "min_level": 2}, (24, 40, 112, 1280)),
            ("mobilenetv3_small_050", {}, (16, 24, 288)),
            ("convnext_atto", {}, (80, 160, 320)),
            ("darknet17", {}, (256, 512, 1024)),
            ("efficientvit_b0", {}, (32, 64, 128)),
            ("swin_tiny_patch4_window7_224", {}, (192, 384, 768)),
        ],
    )
    def test_maps_by_stride(self, name: str, settings: dict[str, object], channels: tuple[int, ...]) -> None:
        backbone = Backbone(name, **settings).eval()
        with torch.no_grad():
            maps = backbone(torch.randn(2, 3, 96, 160))
        assert backbone.channels == channels
        assert [tuple(m.shape) for m in maps] == [
            (2, c, 96 // s, 160 // s) for c, s in zip(channels, backbone.strides, strict=True)
        ]
        assert backbone.strides[-1] == 32
        assert backbone.transfer_report is None

    def test_only_the_stages_asked_for_are_kept(self) -> None:
        assert not any("fc" in name for name, _ in Backbone("resnet18").named_parameters())
        assert not any("conv_head" in name for name, _ in Backbone("mobilenetv2_100").named_parameters())

    def test_every_parameter_gets_a_gradient(self) -> None:
        backbone = Backbone("mobilenetv2_100", c5="conv_head", batch_norm="trained").train()
        sum(m.sum() for m in backbone(torch.randn(2, 3, 64, 64))).backward()
        assert [name for name, p in backbone.named_parameters() if p.grad is None] == []

    def test_normalisation_is_the_network_s_own(self) -> None:
        assert Backbone("resnet18").mean == (0.485, 0.456, 0.406)
        assert Backbone("xception41").std == (0.5, 0.5, 0.5)


class TestWeights:
    def test_random_weights_are_those_of_the_whole_network(self) -> None:
        torch.manual_seed(0)
        whole = timm.create_model("efficientnet_lite0")
        torch.manual_seed(0)
        state = Backbone("efficientnet_lite0").state_dict()
        assert torch.equal(state["body.conv_stem.weight"], whole.conv_stem.weight)

    def test_torchvision_names_into_timm(self, mobilenet_file: Path, photo: Tensor) -> None:
        oracle = torchvision.models.mobilenet_v2()
        oracle.load_state_dict(safetensors.torch.load_file(mobilenet_file), strict=True)
        oracle.eval()
        backbone = Backbone("mobilenetv2_100", mobilenet_file, c5="conv_head")
        assert "314 of 314 tensors matched: by position of modules" in str(backbone.transfer_report)
        x = functional.normalize(photo, list(backbone.mean), list(backbone.std))
        with torch.no_grad():
            found, wanted, y = backbone(x), [], x
            for index, layer in enumerate(oracle.features):
                y = layer(y)
                if index in (6, 13, 18):
                    wanted.append(y)
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4)

    def test_timm_names_of_a_network_that_timm_renames(self, tmp_path: Path) -> None:
        whole = timm.create_model("convnext_atto").eval()
        safetensors.torch.save_file(whole.state_dict(), tmp_path / "w.safetensors")
        backbone = Backbone("convnext_atto", tmp_path / "w.safetensors").eval()
        x = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            _, wanted = whole.forward_intermediates(x, norm=False)
            for found, map_ in zip(backbone(x), wanted[-3:], strict=True):
                torch.testing.assert_close(found, map_, rtol=1e-4, atol=1e-5)
        assert "by name" in str(backbone.transfer_report)

    @pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
    def test_backbone_of_a_checkpoint(self, tmp_path: Path, batch_norm: str) -> None:
        before = Backbone("mobilenetv2_035", batch_norm=batch_norm).eval()
        path = tmp_path / "best.safetensors"
        state = {f"backbone.{name}": value for name, value in before.state_dict().items()}
        save_checkpoint(path, state, CheckpointHeader({}, ClassNames(("a",), (0,)), {}))
        after = Backbone("mobilenetv2_035", path).eval()
        x = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            for found, wanted in zip(after(x), before(x), strict=True):
                # Frozen, the norms are in the weights: rounding is relative to a map's largest values.
                torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))

    def test_weights_of_another_network(self, mobilenet_file: Path) -> None:
        with pytest.raises(ModelFileError, match=r"into resnet18: .*conv1 weight \[64, 3, 7, 7\]"):
            Backbone("resnet18", mobilenet_file)

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="no such file"):
            Backbone("resnet18", tmp_path / "none.safetensors")


class TestBatchNorm:
    def test_frozen_is_the_same_in_training(self, mobilenet_file: Path, photo: Tensor) -> None:
        backbone = Backbone("mobilenetv2_100", mobilenet_file, c5="conv_head")
        state = {name: value.clone() for name, value in backbone.state_dict().items()}
        with torch.no_grad():
            for a, b in zip(backbone.train()(photo), backbone.eval()(photo), strict=True):
                assert torch.equal(a, b)
        assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())

    def test_frozen_leaves_convolutions_alone_to_learn(self) -> None:
        backbone = Backbone("resnet18").train()
        assert not norms(backbone, nn.BatchNorm2d)
        assert len(norms(backbone, FrozenBatchNorm2d)) == 20
        assert all(parameter.ndim == 4 for parameter in backbone.parameters())

    def test_trained_follows_the_batch(self) -> None:
        backbone = Backbone("resnet18", batch_norm="trained").train()
        before = backbone.state_dict()["body.bn1.running_mean"].clone()
        backbone(torch.randn(2, 3, 64, 64) + 1)
        assert not torch.equal(backbone.state_dict()["body.bn1.running_mean"], before)

    def test_building_does_not_move_the_statistics(self) -> None:
        state = Backbone("resnet18", batch_norm="trained").state_dict()
        assert torch.equal(state["body.bn1.running_mean"], torch.zeros(64))

    def test_frozen_equals_trained_in_evaluation(self, mobilenet_file: Path, photo: Tensor) -> None:
        frozen = Backbone("mobilenetv2_100", mobilenet_file, c5="conv_head")
        trained = Backbone("mobilenetv2_100", mobilenet_file, c5="conv_head", batch_norm="trained").eval()
        with torch.no_grad():
            for a, b in zip(frozen(photo), trained(photo), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        trained.load_state_dict(dict(frozen.state_dict()))


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "settings", "words"),
        [
            ("resnet5", {}, "did you mean resnet50"),
            ("", {}, "unknown backbone"),
            ("vit_tiny_patch16_224", {}, r"no feature map at stride 8 \(it has \[16\]\)"),
            ("convnext_atto", {"min_level": 1}, "stride 2"),
            ("inception_v3", {}, "not strides"),
            ("resnet18", {"c5": "conv_head"}, "use c5: features"),
            ("mobilenetv3_small_050", {"c5": "conv_head"}, "use c5: features"),
            ("test_maxvit", {}, "fixed picture size"),
        ],
    )
    def test_one_line_that_says_what_to_do(self, name: str, settings: dict[str, object], words: str) -> None:
        if name.startswith("test_") and not timm.is_model(name):
            pytest.skip(f"timm {timm.__version__} has no {name}")
        with pytest.raises(UsageError, match=words) as caught:
            Backbone(name, **settings)
        assert "\n" not in str(caught.value)
