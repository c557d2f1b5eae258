# %% [markdown]
# # 5. Which anchors match which box, and why
#
# Before a loss can be taken, every anchor needs an answer: this box, background, or no comment. Section 4 of
# the paper decides by IoU: an object from 0.5 on, background below 0.4, and between the two the anchor is
# ignored.
#
# `python docs/lessons/05_which_anchor_matches.py my.jpg --box 40 60 220 300 --box 300 80 360 160`

# %%
import sys

import lesson
import torch

from foveal.config.schema import HeadParams
from foveal.ops.atss import match_atss
from foveal.ops.iou import box_iou
from foveal.ops.matcher import match_iou
from foveal.types import BACKGROUND, IGNORE

run = lesson.begin("05_which_anchor_matches", ("picture", "box"))
image, boxes = lesson.picture_and_boxes(run, size=320, seed=10)
if not len(boxes):
    sys.exit("a picture of yours has no labels: say where an object is with --box X1 Y1 X2 Y2")
levels = lesson.anchors_of(HeadParams(), *image.shape[1:])
anchors = torch.cat([level.boxes for level in levels])
iou = box_iou(anchors[:, None], boxes[None])  # [N, M]; the matcher itself never makes this matrix
best = iou.amax(dim=1)

# %% [markdown]
# ## The paper's rule
#
# Each anchor looks for the box that it overlaps most. The IoU with that box alone decides.

# %%
strict = match_iou(levels, boxes, fg_iou_thresh=0.5, bg_iou_thresh=0.4, allow_low_quality=False)
assert torch.equal(strict >= 0, best >= 0.5)
assert torch.equal(strict == IGNORE, (best >= 0.4) & (best < 0.5))
assert torch.equal(strict == BACKGROUND, best < 0.4)
assert torch.equal(strict[strict >= 0], iou.argmax(dim=1)[strict >= 0])

# %% [markdown]
# ## Low-quality matches
#
# The smallest anchor is 32 x 32. A box of 20 x 20 right inside it reaches 400 / 1024 = 0.39: no anchor will
# ever be its object, and the network is taught that there is nothing. `allow_low_quality` (Faster R-CNN's
# rule, which most implementations keep) gives each box the anchors that share its own highest IoU, however
# low.

# %%
loose = match_iou(levels, boxes, allow_low_quality=True)
rescued = (loose >= 0) & (strict < 0)
assert torch.equal(loose[~rescued], strict[~rescued]), "nothing else changes"
assert (best[rescued] < 0.5).all()
own_best = iou.amax(dim=0)
assert ((iou[rescued] == own_best) & (own_best > 0)).any(dim=1).all(), "each is some box's best"

# %% [markdown]
# ## ATSS
#
# One threshold for all boxes favours those that happen to fit the anchors. ATSS (Zhang et al. 2020) lets
# each box set its own: of the anchors nearest to it on every level, those above the mean plus the standard
# deviation of their IoUs, and with their middle inside the box. Nothing is ignored. (Its authors use one
# anchor per cell; of nine it takes more.)

# %%
adaptive = match_atss(levels, boxes, topk=9)
middle = (anchors[:, :2] + anchors[:, 2:]) / 2
chosen = adaptive >= 0
home = boxes[adaptive[chosen]]
assert ((middle[chosen] > home[:, :2]) & (middle[chosen] < home[:, 2:])).all()
assert not (adaptive == IGNORE).any()

rules = {"IoU >= 0.5": strict, "with low-quality matches": loose, "ATSS": adaptive}
counts = torch.stack([(rule[:, None] == torch.arange(len(boxes))).sum(dim=0) for rule in rules.values()])
print("box         size   best IoU   anchors by " + ", ".join(rules))
for number, box in enumerate(boxes):
    w, h = (box[2:] - box[:2]).tolist()
    row = "".join(f"{count:6d}" for count in counts[:, number].tolist())
    print(f"{number:3d}  {w:5.0f} x {h:3.0f}   {own_best[number]:8.2f}  {row}")
print(
    f"ignored (0.4 to 0.5): {int((strict == IGNORE).sum())}; background: {int((strict == BACKGROUND).sum()):,}"
)
if run.picture is None:
    assert (counts[0] == 0).any(), "a box that the plain rule forgets"
    assert (counts[1] > 0).all(), "and low-quality matches remember"
    spread = [(row.max() / row.clamp(min=1).min()).item() for row in counts]
    assert spread[2] < spread[1], "ATSS gives the boxes more equal shares"

# %% [markdown]
# ## Look
#
# Above: the anchors of each box in its colour. Below: each box's nearest anchors by IoU, coloured where the
# rule takes them, grey where not; the band between the lines is ignored by the IoU rule.

# %%
colours = [lesson.CYCLE[number % len(lesson.CYCLE)] for number in range(len(boxes))]
figure, panels = lesson.sheet(3, 2, width=4.8, height=4.2)
near = iou > 0.15
scatter = torch.linspace(-0.3, 0.3, len(anchors))[torch.randperm(len(anchors))]
for (name, matched), above, below in zip(rules.items(), panels[:3], panels[3:], strict=True):
    lesson.photo(above, image, f"{name}: {int((matched >= 0).sum())} anchors")
    for number, colour in enumerate(colours):
        lesson.rectangles(above, anchors[matched == number], colour, 0.9, alpha=0.6)
        lesson.rectangles(above, boxes[number, None], "white", 2.6)
        lesson.rectangles(above, boxes[number, None], colour, 1.8, ls="--")
        others, own = near[:, number] & (matched != number), matched == number
        below.plot(number + scatter[others], iou[others, number], ".", color=lesson.GREY, ms=3, alpha=0.4)
        below.plot(number + scatter[own], iou[own, number], "o", color=colour, ms=4.5)
    if matched is not adaptive:
        below.axhspan(0.4, 0.5, color=lesson.GREY, alpha=0.25, lw=0)
    below.axhline(0.5, color=lesson.INK, lw=0.8, ls=":")
    below.set_ylim(0, 1)
    below.set_xticks(
        range(len(boxes)), [f"{w:.0f}x{h:.0f}" for w, h in (boxes[:, 2:] - boxes[:, :2]).tolist()]
    )
    lesson.chart(below, "", "box (pixels)", "IoU with the box")
run.save(figure, "assignment")
