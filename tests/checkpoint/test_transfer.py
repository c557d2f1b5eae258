"""Weights find their places by name or by position, whole or not at all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foveal.checkpoint.transfer import carry_over, transfer_weights
from foveal.errors import ModelFileError
from foveal.types import ClassNames


def block(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, bias=False), nn.BatchNorm2d(channels))


class Theirs(nn.Module):
    """Twelve equal blocks, so that only their order tells them apart."""

    def __init__(self, depth: int = 12, classes: int = 5) -> None:
        super().__init__()
        self.features = nn.Sequential(*(block(4) for _ in range(depth)))
        self.classifier = nn.Linear(4, classes)


class Ours(nn.Module):
    """The same layers under names that sort in another order."""

    def __init__(self, depth: int = 12, classes: int = 5) -> None:
        super().__init__()
        self.stem, self.norm = block(4)
        self.a_stage = nn.Sequential(*(block(4) for _ in range(depth - 1)))
        self.fc = nn.Linear(4, classes)


def random_state(module: nn.Module, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, generator=generator) if value.is_floating_point() else value + seed
        for name, value in module.state_dict().items()
    }


def sorted_as_text(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(sorted(state.items()))


class TestByName:
    def test_equal_names(self) -> None:
        source, target = random_state(Theirs(), 1), random_state(Theirs(), 2)
        transfer = transfer_weights(source, target)
        assert all(torch.equal(transfer.state[name], source[name]) for name in target)
        assert transfer.report.summary() == f"{len(target)} of {len(target)} tensors matched: by name"

    @pytest.mark.parametrize("prefix", ["module.", "model.", "backbone.body.", "module.model.backbone."])
    def test_wrapped_names(self, prefix: str) -> None:
        source, target = random_state(Theirs(), 1), random_state(Theirs(), 2)
        wrapped = {prefix + name: value for name, value in source.items()} | {"neck.weight": torch.ones(3)}
        transfer = transfer_weights(wrapped, target)
        assert all(torch.equal(transfer.state[name], source[name]) for name in target)
        assert transfer.report.unused == ("neck.weight",)
        assert prefix in transfer.report.how

    def test_other_classifier_is_no_obstacle(self) -> None:
        source, target = random_state(Theirs(classes=7), 1), random_state(Theirs(), 2)
        transfer = transfer_weights(source, target)
        assert torch.equal(transfer.state["classifier.weight"], target["classifier.weight"])
        assert transfer.report.missing == ("classifier.weight", "classifier.bias")
        assert [m.source_shape for m in transfer.report.mismatched] == [(7, 4), (7,)]

    def test_counters_may_be_absent(self) -> None:
        source = {n: v for n, v in random_state(Theirs(), 1).items() if "num_batches" not in n}
        transfer = transfer_weights(source, random_state(Theirs(), 2))
        assert transfer.report.missing == ()
        assert len(transfer.report.matched) == len(source)

    def test_type_of_the_target(self) -> None:
        source = {name: value.half() for name, value in random_state(Theirs(), 1).items()}
        transfer = transfer_weights(source, random_state(Theirs(), 2))
        assert transfer.state["features.0.0.weight"].dtype == torch.float32


class TestByPosition:
    @pytest.mark.parametrize("order", [dict, sorted_as_text])
    def test_every_module_meets_its_equal(self, order: type) -> None:
        source, target = random_state(Theirs(), 1), random_state(Ours(), 2)
        transfer = transfer_weights(order(source), target)
        pairs = {wanted: found for found, wanted in transfer.report.matched}
        assert len(pairs) == len(target)
        assert pairs["stem.weight"] == "features.0.0.weight"
        assert pairs["norm.running_var"] == "features.0.1.running_var"
        for i in range(11):
            assert pairs[f"a_stage.{i}.0.weight"] == f"features.{i + 1}.0.weight"
        assert pairs["fc.weight"] == "classifier.weight"
        assert all(torch.equal(transfer.state[wanted], source[found]) for wanted, found in pairs.items())

    def test_classifier_comes_last_wherever_it_stands(self) -> None:
        source = random_state(Theirs(), 1)
        first = {n: v for n, v in source.items() if n.startswith("classifier")}
        transfer = transfer_weights(first | source, random_state(Ours(), 2))
        assert len(transfer.report.matched) == len(source)

    def test_one_module_too_few_is_refused(self) -> None:
        with pytest.raises(ModelFileError, match=r"a_stage\.10\.0 is only in the network"):
            transfer_weights(random_state(Theirs(11), 1), random_state(Ours(12), 2))

    def test_one_module_too_many_is_refused(self) -> None:
        with pytest.raises(ModelFileError, match=r"features\.12\.0 is only in them"):
            transfer_weights(random_state(Theirs(13), 1), random_state(Ours(12), 2))

    def test_first_different_module_is_named(self) -> None:
        source = random_state(Theirs(), 1)
        source["features.3.0.weight"] = torch.ones(4, 4, 1, 1)
        with pytest.raises(ModelFileError, match=r"a_stage\.2\.0 weight \[4, 4, 3, 3\] meets features\.3\.0"):
            transfer_weights(source, random_state(Ours(), 2))

    def test_half_fitting_names_are_refused(self) -> None:
        source = random_state(Theirs(8), 1)
        with pytest.raises(ModelFileError, match=r"features\.8\.0\.weight \[4, 4, 3, 3\] is not in it"):
            transfer_weights(source, random_state(Theirs(12), 2))

    def test_nothing_is_refused(self) -> None:
        with pytest.raises(ModelFileError, match="0 tensors"):
            transfer_weights({}, random_state(Ours(), 2))


def detector(classes: int, anchors: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "backbone.weight": torch.randn(6, generator=generator),
        "head.cls_logits.weight": torch.randn(anchors * classes, 2, 3, 3, generator=generator),
        "head.cls_logits.bias": torch.randn(anchors * classes, generator=generator),
        "head.bbox_deltas.weight": torch.randn(anchors * 4, 2, 3, 3, generator=generator),
    }


def names(*classes: str) -> ClassNames:
    return ClassNames(classes, tuple(range(len(classes))))


class TestCarryOver:
    def test_rows_follow_the_names(self) -> None:
        old, new, anchors = names("cat", "dog", "bird"), names("fish", "bird", "cat", "cow"), 2
        source, target = detector(3, anchors, 1), detector(4, anchors, 2)
        fresh = {name: value.clone() for name, value in target.items()}
        transfer = carry_over(source, old, target, new, anchors)
        for layer in ("head.cls_logits.weight", "head.cls_logits.bias"):
            found = transfer.state[layer].unflatten(0, (anchors, 4))
            before = source[layer].unflatten(0, (anchors, 3))
            initial = target[layer].unflatten(0, (anchors, 4))
            for a in range(anchors):
                assert torch.equal(found[a, 1], before[a, 2])
                assert torch.equal(found[a, 2], before[a, 0])
                assert torch.equal(found[a, [0, 3]], initial[a, [0, 3]])
        assert torch.equal(transfer.state["backbone.weight"], source["backbone.weight"])
        assert all(torch.equal(target[name], fresh[name]) for name in target)
        report = transfer.report
        assert (report.classes_reused, report.classes_new) == (("bird", "cat"), ("fish", "cow"))
        assert report.classes_dropped == ("dog",)
        assert report.mismatched == ()
        assert "classes reused: bird, cat; classes new: fish, cow; classes dropped: dog" in report.summary()

    def test_same_classes_take_everything(self) -> None:
        source, target = detector(3, 2, 1), detector(3, 2, 2)
        transfer = carry_over(source, names("a", "b", "c"), target, names("a", "b", "c"), 2)
        assert all(torch.equal(transfer.state[name], source[name]) for name in source)
        assert transfer.report.summary() == "4 of 4 tensors matched: by name; classes reused: a, b, c"

    def test_same_count_of_other_classes_takes_no_row(self) -> None:
        source, target = detector(2, 2, 1), detector(2, 2, 2)
        transfer = carry_over(source, names("a", "b"), target, names("c", "d"), 2)
        assert torch.equal(transfer.state["head.cls_logits.bias"], target["head.cls_logits.bias"])
        assert "head.cls_logits.bias" in transfer.report.missing

    def test_other_anchors_take_no_row(self) -> None:
        source, target = detector(2, 3, 1), detector(2, 2, 2)
        transfer = carry_over(source, names("a", "b"), target, names("a", "b"), 2)
        assert torch.equal(transfer.state["head.cls_logits.weight"], target["head.cls_logits.weight"])
        assert transfer.report.classes_reused == ()
        assert "head.bbox_deltas.weight" in [m.name for m in transfer.report.mismatched]

    def test_another_architecture_is_refused(self) -> None:
        with pytest.raises(ModelFileError, match="architecture"):
            carry_over({"x": torch.ones(1)}, names("a"), detector(1, 2, 2), names("a"), 2)
