# %% [markdown]
# # 7. Mining against focal loss
#
# Before the focal loss, easy background was kept out of the sum by choosing: SSD takes the three worst
# negatives for each object, OHEM the hardest few hundred anchors. The focal loss chooses nothing; it weighs
# everything. Here all three look at the same network and the same picture, one that it has not been trained
# on.
#
# `python docs/lessons/07_mining_against_focal.py`

# %%
from itertools import pairwise

import lesson
import torch
from torch import Tensor

from foveal.build import build_detector
from foveal.ops.focal_loss import sigmoid_focal_loss
from foveal.ops.iou import box_iou
from foveal.ops.matcher import match_iou
from foveal.ops.mining import cross_entropy_of_anchors, hard_negatives, hardest_examples
from foveal.types import BACKGROUND, IGNORE

run = lesson.begin("07_mining_against_focal")
images, targets = lesson.shapes(pictures=33, size=96, seed=5)
new, target = images[-1], targets[-1]
settings = lesson.small_model()
detector = build_detector(settings, num_classes=3)
history = lesson.train(detector, settings, images[:-1], targets[:-1], steps=64)
print(f"class loss {history[0]:.2f} -> {history[-1]:.2f} on 32 pictures")

# %% [markdown]
# ## How hard is every anchor?
#
# Mining ranks anchors by their cross entropy, summed over the classes: `cross_entropy_of_anchors`.

# %%
with torch.no_grad():
    outputs = detector(new[None])
logits = torch.cat(outputs.cls_logits, dim=1)[0]
anchors = torch.cat([level.boxes for level in outputs.anchors])
matched = match_iou(outputs.anchors, target.boxes)
labels = torch.where(matched >= 0, target.labels[matched.clamp(min=0)], matched)
entropy = cross_entropy_of_anchors(logits, labels)
objects, negatives = labels >= 0, labels == BACKGROUND
print(f"{len(labels):,} anchors: {int(objects.sum())} objects, {int(negatives.sum()):,} background")
assert entropy[labels == IGNORE].isneginf().all()


def focal_of_anchors(gamma: float) -> Tensor:
    """Equation 4 for every anchor, summed over the classes: [N]. (alpha = 1/2, doubled, is none.)"""
    rows = zip(logits.split(1), labels.split(1), strict=True)
    return torch.stack([2 * sigmoid_focal_loss(row, label, 0.5, gamma) for row, label in rows])


losses = {gamma: focal_of_anchors(gamma) for gamma in (0.0, 0.5, 1.0, 2.0)}
torch.testing.assert_close(
    losses[0.0][objects | negatives], entropy[objects | negatives], atol=1e-5, rtol=1e-4
)

# %% [markdown]
# ## Two ways of choosing
#
# SSD: all objects and three times as many of the worst negatives. OHEM, as table 1d of the paper has it:
# sort, remove what overlaps a harder anchor (NMS at 0.7), keep the first 128. Everything else is IGNORE,
# which costs nothing and teaches nothing.

# %%
ssd = hard_negatives(entropy, labels, per_positive=3)
ohem = hardest_examples(entropy, labels, anchors, examples=128, nms_thresh=0.7)
for name, chosen in (("SSD 3:1", ssd), ("OHEM 128", ohem)):
    left = chosen == BACKGROUND
    share = entropy[left].sum() / entropy[negatives].sum()
    print(f"{name:9} keeps {int((chosen >= 0).sum())} objects and {int(left.sum())} negatives ", end="")
    print(f"with {share:.0%} of the background's cross entropy")
assert int((ssd == BACKGROUND).sum()) == 3 * int(objects.sum())
assert torch.equal(ssd >= 0, objects)
assert entropy[ssd == BACKGROUND].min() >= entropy[negatives & (ssd == IGNORE)].max()
counted = anchors[ohem != IGNORE]
assert len(counted) <= 128
assert (box_iou(counted[:, None], counted[None]).fill_diagonal_(0) <= 0.7).all()

# %% [markdown]
# ## One way of weighing
#
# Figure 4 of the paper: sort the anchors by their loss, add up, and see who holds how much. For objects gamma
# changes little. For background, the larger gamma is, the more of the sum belongs to the few hard ones, as
# with mining, but smoothly, with no number to choose, and without dropping anyone for good: an easy anchor
# that turns hard is heard at once. (The weights in the third panel are ragged because ranks go by a sum over
# classes: one score of 0.3 and three of 0.1 rank alike, but the first weighs more.)

# %%


def share_of_hardest(gamma: float, side: Tensor, part: float) -> float:
    """How much of the loss of one side the hardest part of it holds."""
    ordered = losses[gamma][side].sort(descending=True).values
    return (ordered[: max(1, round(part * len(ordered)))].sum() / ordered.sum()).item()


print("the hardest 5 % of background hold, of its loss:")
shares = [share_of_hardest(gamma, negatives, 0.05) for gamma in losses]
print("  " + ", ".join(f"gamma {gamma:g}: {share:.0%}" for gamma, share in zip(losses, shares, strict=True)))
assert all(a < b for a, b in pairwise(shares)), "focusing grows with gamma"
assert all((losses[gamma][negatives] > 0).all() for gamma in losses), "and everyone is still heard"

# %%
figure, panels = lesson.sheet(3, 2, width=4.5, height=4.2)
colours = (lesson.INK, lesson.GREEN, lesson.VIOLET, lesson.ORANGE)
for panel, side, title in ((panels[0], objects, "objects"), (panels[1], negatives, "background")):
    for (gamma, values), colour in zip(losses.items(), colours, strict=True):
        summed = values[side].sort().values.cumsum(0)
        place = torch.linspace(0, 1, len(summed))
        panel.plot(place, summed / summed[-1], color=colour, lw=2, label=f"$\\gamma$ = {gamma:g}")
    panel.legend(frameon=False)
    lesson.chart(panel, f"Figure 4: {title}", f"share of the {title}, easiest first", "share of their loss")
order = entropy[negatives].argsort(descending=True)
rank = torch.arange(1, len(order) + 1)
weight = losses[2.0][negatives][order] / entropy[negatives][order]
taken = (ssd[negatives] == BACKGROUND)[order].float()
panels[2].step(rank, taken, color=lesson.BLUE, lw=2, label="SSD: in or out")
panels[2].plot(rank, weight / weight.max(), color=lesson.ORANGE, lw=2, label="focal, $\\gamma$ = 2")
panels[2].set_xscale("log")
panels[2].legend(frameon=False)
lesson.chart(panels[2], "Weight of a negative", "its rank by cross entropy", "weight (the largest: 1)")

middle = (anchors[:, :2] + anchors[:, 2:]) / 2
everyone = torch.where(objects | negatives, labels, IGNORE)
hardest = losses[2.0][negatives].max()
for panel, kept, title in (
    (panels[3], ssd, "SSD 3:1"),
    (panels[4], ohem, "OHEM 128"),
    (panels[5], everyone, "focal"),
):
    lesson.photo(
        panel,
        new,
        f"{title}: {int((kept == BACKGROUND).sum()):,} negatives, {int((kept >= 0).sum())} objects",
    )
    edge = 0 if kept is everyone else 0.4
    for side, mark, colour in ((kept == BACKGROUND, "o", lesson.BLUE), (kept >= 0, "s", lesson.ORANGE)):
        area = (losses[2.0][side] / hardest).clamp(0.005, 1) * 90 if kept is everyone else 26
        panel.scatter(*middle[side].T, s=area, marker=mark, color=colour, alpha=0.7, ec="white", lw=edge)
    lesson.rectangles(panel, target.boxes, lesson.INK, 1.2, ls="--")
panels[5].set_title(panels[5].get_title(loc="left") + ", sized by loss", loc="left", fontsize=11)
run.save(figure, "mining")
