# %% [markdown]
# # 1. Why imbalance hurts
#
# A one-stage detector asks the same question at every anchor: is there an object, and of which class? The
# paper (section 1) counts 10^4 to 10^5 such questions a picture, of which few meet an object. Here we count
# them, and look at what that does to a sum of losses.
#
# `python docs/lessons/01_why_imbalance_hurts.py` (or cell by cell, in a notebook)

# %%
import lesson
import torch
from torch import Tensor

from foveal.config.schema import HeadParams
from foveal.heads.anchor_decoupled.criterion import ClassLoss, cross_entropy, focal
from foveal.ops.matcher import match_iou
from foveal.types import BACKGROUND, IGNORE

run = lesson.begin("01_why_imbalance_hurts", ("picture", "box"))

# %% [markdown]
# ## The count
#
# The paper's own anchors (section 4: nine per cell, five levels) on a picture of about 600 pixels, its usual
# size in the ablations, and its rule for which of them are objects.

# %%
image, boxes = lesson.picture_and_boxes(run, size=608, seed=5)
levels = lesson.anchors_of(HeadParams(), *image.shape[1:])
labels = match_iou(levels, boxes).clamp(max=0)  # one class is enough here
objects, background = int((labels == 0).sum()), int((labels == BACKGROUND).sum())
ignored = int((labels == IGNORE).sum())
print(f"{len(labels):,} anchors: {objects} objects, {ignored} ignored, {background:,} background")
print(f"the {len(boxes)} boxes hold {objects / len(labels):.2%} of the anchors")
assert 10**4 <= len(labels) <= 10**5
if run.picture is None:
    assert 0 < objects < background / 100

# %% [markdown]
# ## The sum
#
# Suppose that the network is good at background already and still unsure of objects: every background anchor
# gets a score of 0.1 (so p_t = 0.9: easy), every object 0.5. Equation 1 charges an easy anchor 0.105 and an
# unsure one 0.693. That seems fair. But they are summed.


# %%
def parts(loss: ClassLoss, score: float) -> tuple[float, float]:
    """Loss of all objects (scored 0.5) and of all background (scored ``score``)."""
    p = torch.where(labels == 0, 0.5, score)
    logits, unused = torch.logit(p)[:, None], torch.zeros(len(labels))
    return tuple(
        loss(logits, labels.masked_fill(labels != side, IGNORE), unused).item() for side in (0, BACKGROUND)
    )


def plain(name: str) -> str:
    """Without the marks of a formula."""
    return name.replace("$", "").replace("\\", "")


losses: dict[str, ClassLoss] = {
    "CE (eq. 1)": cross_entropy(),
    "balanced CE, $\\alpha$ = 0.75 (eq. 3)": cross_entropy(alpha=0.75),
    "focal, $\\gamma$ = 2, $\\alpha$ = 0.25 (eq. 5)": focal(0.25, 2.0),
}
objects = max(objects, 1)
for name, loss in losses.items():
    ours, theirs = parts(loss, 0.1)
    share = ours / (ours + theirs)
    print(f"{plain(name):40} objects {ours:6.1f}   background {theirs:7.1f}   objects' share {share:6.2%}")

ours, theirs = parts(cross_entropy(), 0.1)
assert abs(theirs / background - 0.105) < 1e-3, "an easy anchor costs 0.105"
if run.picture is None:
    assert theirs > 50 * ours, "the easy background outweighs the unsure objects"

# %% [markdown]
# So 98 % of what the optimiser hears is "background, background", said by anchors that are right already.
# Alpha (equation 3) turns the volume of the two sides, but cannot tell easy from hard. The focal loss can:
# at p_t = 0.9 it charges a hundredth.
#
# ## How easy must background be before objects are heard?
#
# The score of the background falls from left to right; the curves say how much of the loss belongs to the
# objects.

# %%
scores = torch.logspace(-0.4, -4.5, 60)
shares: dict[str, Tensor] = {}
for name, loss in losses.items():
    pairs = torch.tensor([parts(loss, score) for score in scores.tolist()])
    shares[name] = pairs[:, 0] / pairs.sum(dim=1)
half = {
    name: scores[int((share > 0.5).nonzero()[0])].item()
    for name, share in shares.items()
    if (share > 0.5).any()
}
for name, score in half.items():
    print(f"{plain(name):40} objects have half of the loss once background scores {score:.5f}")

figure, (left, right) = lesson.sheet(2, width=5.6, height=4.6)
lesson.photo(left, image, f"{objects} anchors of {len(labels):,} are objects")
anchors = torch.cat([level.boxes for level in levels])
lesson.rectangles(left, anchors[labels == 0], lesson.BLUE, 0.8, alpha=0.6)
lesson.rectangles(left, boxes, lesson.ORANGE, 2.4)
for (name, share), colour in zip(shares.items(), (lesson.INK, lesson.ORANGE, lesson.GREEN), strict=True):
    right.plot(scores, share * 100, color=colour, lw=2, label=name)
right.set_xscale("log")
right.invert_xaxis()
right.set_ylim(0, 130)
right.set_yticks(range(0, 101, 25))
right.axhline(50, color=lesson.INK, lw=0.8, ls=":")
lesson.chart(
    right, "Who is heard?", "score of every background anchor (objects: 0.5)", "objects' share of the loss, %"
)
right.legend(frameon=False, fontsize=9, loc="upper left")
run.save(figure, "imbalance")

# %%
ce, _, fl = half.values() if len(half) == 3 else (0.0, 0.0, 0.0)
if run.picture is None:
    assert fl > 20 * ce
    print(
        f"with focal loss the objects are heard while background scores {fl / ce:.0f} times what CE demands"
    )
