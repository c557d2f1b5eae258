# %% [markdown]
# # 4. Anchors drawn on your picture
#
# An anchor is a question with a place and a shape: is there an object about here, about this large? Section
# 4 of the paper lays nine of them on every cell of five levels. Here they are, on a picture of yours or a
# generated one.
#
# `python docs/lessons/04_anchors_on_your_picture.py my.jpg`

# %%
import lesson
import torch

from foveal.config.schema import HeadParams
from foveal.heads.anchor_decoupled import AnchorDecoupledHead
from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.iou import box_area

run = lesson.begin("04_anchors_on_your_picture", ("picture", "box"))
image, boxes = lesson.picture_and_boxes(run, size=512, seed=7)
height, width = image.shape[1:]

# %% [markdown]
# ## One cell
#
# Areas of 32^2 on P3 to 512^2 on P7; ratios 1:2, 1:1 and 2:1; and each size three times, at 2^0, 2^(1/3) and
# 2^(2/3). With `r = height / width` and area `s^2`: `w = s / sqrt(r)`, `h = w r`.

# %%
params = HeadParams()
cell = cell_anchors(params.anchor_sizes[0], params.aspect_ratios)
print("the nine anchors of a cell of P3, around its middle:")
for x1, y1, x2, y2 in cell.tolist():
    w, h = x2 - x1, y2 - y1
    print(f"  {w:6.1f} x {h:5.1f}   size {(w * h) ** 0.5:5.1f}   ratio {h / w:.1f}")
sides = cell[:, 2:] - cell[:, :2]
assert cell.shape == (9, 4)
torch.testing.assert_close(box_area(cell).sqrt(), torch.tensor([32 * 2 ** (o / 3) for o in range(3)] * 3))
torch.testing.assert_close(sides[:, 1] / sides[:, 0], torch.tensor([0.5, 1.0, 2.0]).repeat_interleave(3))

# %% [markdown]
# ## One level
#
# The cell's anchors are laid on every cell of a grid. A cell of level l is as large as its stride, 2^l
# pixels, and the anchors stand on the middle of the cell (some implementations put them on its corner:
# `AnchorRule.offset`).

# %%
p3 = grid_anchors(cell, stride=8, height=-(-height // 8), width=-(-width // 8))
first, second = p3.boxes[0], p3.boxes[9]
print(f"\nP3: {p3.height} x {p3.width} cells x 9 = {len(p3.boxes):,} anchors, 8 pixels from cell to cell")
torch.testing.assert_close(second - first, torch.tensor([8.0, 0.0, 8.0, 0.0]))
torch.testing.assert_close((first[:2] + first[2:]) / 2, torch.tensor([4.0, 4.0]))

# %% [markdown]
# ## Five levels
#
# The head does it for every level. Sizes double as strides do, so that a small object meets many small
# anchors and a large object a few large ones: together they cover 32 to 813 pixels.

# %%
strides = [8, 16, 32, 64, 128]
head = AnchorDecoupledHead(1, 1, strides, params.scaled_sizes(), params.aspect_ratios, num_layers=0)
levels = head.anchors([torch.empty(1, 1, -(-height // s), -(-width // s)) for s in strides])
counts = [len(level.boxes) for level in levels]
print(f"all levels: {' + '.join(map(str, counts))} = {sum(counts):,} anchors on {width} x {height} pixels")
assert torch.equal(levels[0].boxes, p3.boxes)
sizes = torch.cat([box_area(level.cell).sqrt() for level in levels])
assert round(sizes.min().item()) == 32
assert round(sizes.max().item()) == 813
assert counts[0] > 0.7 * sum(counts), "three quarters of all anchors are on the finest level"

# %% [markdown]
# ## On the picture
#
# Dots are the middles of the cells (of P3 to P5; there are too many to draw all anchors), boxes the nine
# anchors of one cell near the middle. Those of P7 look out of the picture on all sides: nothing is wrong
# with that.

# %%
figure, panels = lesson.sheet(3, 2, width=4.6, height=4.5 * max(0.7, height / width))
for number, (level, panel) in enumerate(zip(levels, panels, strict=False), start=3):
    lesson.photo(panel, image, f"P{number}: stride {level.stride}, {level.height} x {level.width} cells")
    middle = (level.boxes[::9, :2] + level.boxes[::9, 2:]) / 2
    panel.plot(*middle.T, ".", color=lesson.INK, ms=min(5, level.stride / 8 + 0.5), alpha=0.7)
    cell_index = (level.height // 2) * level.width + level.width // 2
    nine = level.boxes[9 * cell_index : 9 * cell_index + 9].unflatten(0, (3, 3))  # ratios, sizes
    for ratio, colour in zip(nine, (lesson.BLUE, lesson.ORANGE, lesson.GREEN), strict=True):
        lesson.rectangles(panel, ratio, colour, 1.8)
    lesson.rectangles(panel, boxes, "white", 1.2, ls="--")
    over = torch.stack([-nine[..., :2].min(), nine[..., 2].max() - width, nine[..., 3].max() - height]).max()
    margin = over.item() + 8 if over > 0 else 0
    panel.set_xlim(-margin, width + margin)
    panel.set_ylim(height + margin, -margin)
bars = panels[5].bar([f"P{n}" for n in range(3, 8)], counts, color=lesson.GREY)
panels[5].bar_label(bars, [f"{count:,}" for count in counts], color=lesson.INK)
lesson.chart(panels[5], f"{sum(counts):,} anchors", "level", "anchors")
for colour, text in (
    (lesson.BLUE, "ratio 0.5: wide"),
    (lesson.ORANGE, "ratio 1"),
    (lesson.GREEN, "ratio 2: tall"),
):
    panels[5].plot([], [], color=colour, lw=2, label=text)
panels[5].legend(frameon=False)
run.save(figure, "anchors")
