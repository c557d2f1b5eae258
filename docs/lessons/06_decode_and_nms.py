# %% [markdown]
# # 6. Decode and NMS, step by step
#
# The network does not say "a circle here". It gives every anchor K logits and four deltas. Section 4.1 of
# the paper ("Inference") makes detections of them: scores above 0.05, at most 1000 of a level, decoded, then
# non-maximum suppression at 0.5. We go through it by hand and must end where `InferenceModel` ends.
#
# `python docs/lessons/06_decode_and_nms.py`, or with a model of yours:
# `python docs/lessons/06_decode_and_nms.py my.jpg --checkpoint runs/my/best.safetensors`

# %%
import sys

import lesson
import torch

from foveal.build import build_detector, build_inference
from foveal.data.shapes import design_of
from foveal.ops.iou import box_iou

run = lesson.begin("06_decode_and_nms", ("picture", "checkpoint"))

# %% [markdown]
# ## A network that has learnt something
#
# Sixty steps on eight generated pictures: it knows them by heart, and nothing else.

# %%
if run.checkpoint:
    model, image, names = lesson.your_model(run)
else:
    images, targets = lesson.shapes(pictures=8, size=96, seed=3)
    settings = lesson.small_model()
    detector = build_detector(settings, num_classes=3)
    losses = lesson.train(detector, settings, images, targets, steps=60)
    print(f"class loss {losses[0]:.2f} -> {losses[-1]:.3f}")
    model = build_inference(detector, settings).eval()
    image, names = images[5], [design_of(k).name for k in range(3)]
with torch.no_grad():
    outputs = model.detector(image[None])
    expected = model(image[None])

# %% [markdown]
# ## Step 1: logits to scores, and the threshold
#
# Every anchor has K independent sigmoids. Nearly all (anchor, class) pairs end here. The threshold is
# applied to the logits: the sigmoid is monotone, and most would be computed for nothing.

# %%
decoder = model.decoder
pairs = sum(logits.numel() for logits in outputs.cls_logits)
above = [int((logits.sigmoid() > decoder.score_thresh).sum()) for logits in outputs.cls_logits]
print(f"{pairs:,} pairs of anchor and class; above {decoder.score_thresh}: {above} by level")

# %% [markdown]
# ## Step 2: the best of each level
#
# `AnchorDecoder.pick`: at most 1000 pairs of a level, by falling logit. An anchor may be there with two
# classes.

# %%
picks = [decoder.pick(logits) for logits in outputs.cls_logits]
kept = [int((pick.logit > decoder.logit_thresh).sum()) for pick in picks]
print(f"at most {decoder.topk_candidates} of a level: {kept}")
assert kept == [min(count, decoder.topk_candidates or count) for count in above]

# %% [markdown]
# ## Step 3: deltas to boxes
#
# (dx, dy) move the anchor's centre in units of its sides, (dw, dh) are logarithms of the scale, as in R-CNN:
# `decode_boxes`. Boxes are cut at the picture's border.

# %%
if not any(kept):
    sys.exit(f"the model finds nothing above {decoder.score_thresh} in this picture: take another")
level = max((index for index, many in enumerate(kept) if many), key=lambda index: picks[index].logit.max())
row = picks[level].anchor[0, 0]
anchor, delta = outputs.anchors[level].boxes[row], outputs.bbox_deltas[level][0, row]
box = decoder.coder.decode(delta, anchor)
score, stride = picks[level].logit[0, 0].sigmoid().item(), outputs.anchors[level].stride
print(f"the surest pair: {names[int(picks[level].label[0, 0])]!r}, score {score:.3f}, stride {stride}")
for title, numbers in (("anchor", anchor), ("deltas", delta), ("box", box)):
    print(f"  {title:7}" + "".join(f"{number:9.2f}" for number in numbers.tolist()))
torch.testing.assert_close(decoder.coder.encode(box, anchor), delta, atol=1e-4, rtol=1e-4)  # the inverse

candidates = decoder(outputs, tuple(image.shape[1:]))
alive = candidates.scores[0] > 0  # a score of 0 marks an empty place
boxes, scores, labels = candidates.boxes[0][alive], candidates.scores[0][alive], candidates.labels[0][alive]
assert len(boxes) == sum(kept)
assert scores.max().item() == expected.scores[0, 0].item()

# %% [markdown]
# ## Step 4: non-maximum suppression, all levels together
#
# Take the surest box; drop those of its class that overlap it by an IoU above 0.5; take the surest of the
# rest; and so on.

# %%
order = scores.argsort(descending=True, stable=True)
survivors: list[int] = []
while len(order) and len(survivors) < expected.boxes.shape[1]:
    best, rest = order[0], order[1:]
    same = (labels[rest] == labels[best]) | model.class_agnostic
    dropped = same & (box_iou(boxes[best].double(), boxes[rest].double()) > model.nms_thresh)
    if len(survivors) < 5:
        print(f"  keep {names[int(labels[best])]!r} at {scores[best]:.2f}, drop {int(dropped.sum())}")
    survivors.append(int(best))
    order = rest[~dropped]
count = int(expected.count[0])
sure = int((scores[survivors] > 0.3).sum())
print(f"{len(boxes)} candidates -> {len(survivors)} detections, {sure} of them above 0.3")
assert len(survivors) == count
assert torch.equal(boxes[survivors], expected.boxes[0, :count]), "InferenceModel comes to the same"
assert torch.equal(scores[survivors], expected.scores[0, :count])

# %% [markdown]
# ## Look
# %%
figure, panels = lesson.sheet(3, 2, width=4.4, height=4.4)
rows, columns = outputs.anchors[level].height, outputs.anchors[level].width
heat = outputs.cls_logits[level][0].sigmoid().amax(dim=1).reshape(rows, columns, -1).amax(dim=2)
colours = [lesson.CYCLE[label % len(lesson.CYCLE)] for label in labels.tolist()]
strength = (0.15 + 0.85 * scores).tolist()
lesson.photo(panels[0], image, f"1. scores of one level (stride {stride})")
frame = (0, columns * stride, rows * stride, 0)
panels[0].imshow(heat.numpy(), extent=frame, cmap="magma", vmin=0, vmax=1, alpha=0.75)
lesson.photo(panels[1], image, f"2. anchors of the {len(boxes)} pairs left")
picked = torch.cat([lv.boxes[pick.anchor[0]] for lv, pick in zip(outputs.anchors, picks, strict=True)])[alive]
lesson.photo(panels[2], image, "3. decoded")
for place in scores.argsort()[-500:].tolist():  # the surest on top; more than these would be one smear
    lesson.rectangles(panels[1], picked[place, None], colours[place], 1.1, alpha=strength[place])
    lesson.rectangles(panels[2], boxes[place, None], colours[place], 1.3, alpha=strength[place])
lesson.photo(panels[3], image, f"4. after NMS: {len(survivors)}")
lesson.photo(panels[4], image, "5. what a person is shown: above 0.3")
for place in survivors:
    lesson.rectangles(panels[3], boxes[place, None], colours[place], 1.5, alpha=strength[place])
    if scores[place] > 0.3:
        lesson.rectangles(panels[4], boxes[place, None], colours[place], 2.4)
        lesson.tag(panels[4], boxes[place], f"{scores[place]:.2f}", colours[place])
overlap = box_iou(boxes[survivors[0]], boxes)
met = (overlap > 0.05) & (labels == labels[survivors[0]])
fate = torch.zeros(len(boxes), dtype=torch.bool)
fate[survivors] = True
panels[5].plot(overlap[met & fate], scores[met & fate], "o", color=lesson.GREEN, label="kept")
panels[5].plot(overlap[met & ~fate], scores[met & ~fate], "x", color=lesson.GREY, label="dropped")
panels[5].axvline(model.nms_thresh, color=lesson.INK, lw=0.8, ls=":")
panels[5].legend(frameon=False)
lesson.chart(panels[5], "its class, around the surest detection", "IoU with the surest detection", "score")
run.save(figure, "decode_and_nms")
