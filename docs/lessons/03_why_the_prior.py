# %% [markdown]
# # 3. Why the prior pi
#
# Section 3.3: at the start, let every anchor say "object" with a probability of pi = 0.01 instead of 0.5. It
# is one number in one bias. Here is what it does to the first loss, and to the steps after it.
#
# `python docs/lessons/03_why_the_prior.py`

# %%
import math

import lesson
import torch

from foveal.build import build_detector
from foveal.models.detector import Detector
from foveal.ops.focal_loss import sigmoid_focal_loss
from foveal.types import BACKGROUND

run = lesson.begin("03_why_the_prior")
images, targets = lesson.shapes(pictures=8, size=96, seed=3)
CE = {"classification": {"name": "cross_entropy"}}

# %% [markdown]
# ## The bias
#
# Section 4.1: the last class layer starts with small random weights and the bias `b = -log((1 - pi) / pi)`.
# The sigmoid undoes just that, so every score is about pi before anything was learnt. In our code this is
# `AnchorDecoupledHead._initialise`.


# %%
def fresh(prior_prob: float, norm: str = "none", **losses: object) -> tuple[Detector, torch.Tensor]:
    """The small network as it begins, always from the same random numbers, and its scores [anchors, classes]."""
    torch.manual_seed(0)
    detector = build_detector(lesson.small_model(prior_prob, norm, **losses), num_classes=3)
    with torch.no_grad():
        logits = torch.cat(detector(images).cls_logits, dim=1)
    return detector, logits.sigmoid()


detector, scores = fresh(0.01)
print(f"bias {detector.head.cls_logits.bias[0].item():.4f}; scores {scores.min():.4f} to {scores.max():.4f}")
assert math.isclose(detector.head.cls_logits.bias[0].item(), -math.log(0.99 / 0.01), rel_tol=1e-6)
assert scores.min() > 0.008
assert scores.max() < 0.0125

# %% [markdown]
# ## The first loss
#
# 10,000 background anchors and 10 objects that all score pi, with both losses. At pi = 0.5 nearly everything
# comes from the background. A smaller pi hands the first steps to the objects.

# %%
labels = torch.cat([torch.full((10_000,), BACKGROUND), torch.zeros(10, dtype=torch.int64)])
priors = torch.logspace(math.log10(0.5), -4, 40)


def split_loss(pi: float, gamma: float, alpha: float) -> tuple[float, float]:
    """First loss of background and of objects, over the number of objects."""
    logits = torch.full((len(labels), 1), -math.log((1 - pi) / pi))
    pieces = (labels == BACKGROUND, labels >= 0)
    return tuple(sigmoid_focal_loss(logits[at], labels[at], alpha, gamma).item() / 10 for at in pieces)


# Cross entropy is the focal loss with gamma = 0, and twice alpha = 1 / 2.
entropy = torch.tensor([split_loss(pi, 0.0, 0.5) for pi in priors.tolist()]) * 2
for pi in (0.5, 0.01):
    theirs, ours = (2 * value for value in split_loss(pi, 0.0, 0.5))
    focal_theirs, focal_ours = split_loss(pi, 2.0, 0.25)
    print(f"pi = {pi:4}: CE     background {theirs:7.2f}  objects {ours:5.2f}")
    print(f"           focal  background {focal_theirs:7.4f}  objects {focal_ours:5.2f}")
assert 2 * split_loss(0.5, 0.0, 0.5)[0] > 600, "693 of a loss of 694 come from background"
assert split_loss(0.5, 2.0, 0.25)[0] > 10_000 * split_loss(0.01, 2.0, 0.25)[0]

# %% [markdown]
# ## The next 18 steps
#
# Section 5.1 tells of the first attempt: plain cross entropy, nothing special at the start, and training
# diverged. The same, in small: one network, one learning rate, one loss (CE), and only the bias differs. The
# third run gives the subnets a normalisation, which the paper's do not have: it survives the blow, but
# spends its first steps learning to say "background", which the bias could have told it.

# %%
runs = {
    "pi = 0.5, as in the paper's first attempt": (0.5, "none", lesson.ORANGE),
    "pi = 0.5, with group norm": (0.5, "group_norm", lesson.GREEN),
    "pi = 0.01": (0.01, "none", lesson.BLUE),
}
history = {}
for name, (pi, norm, _) in runs.items():
    detector, _ = fresh(pi, norm, **CE)
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.03, momentum=0.9)
    history[name] = lesson.train(detector, lesson.small_model(pi, norm, **CE), images, targets, 18, optimizer)
    shown = ", ".join(f"{value:.3g}" for value in history[name][::4])
    print(f"{name:42} {shown}, ... {history[name][-1]:.3g}")

wild, normed, tame = history.values()
assert wild[0] > 10 * tame[0], "the first loss"
assert not all(math.isfinite(value) and value < 1000 for value in wild), "diverges"
assert tame[-1] < tame[0] < 10, "learns from the first step on"
assert all(math.isfinite(value) for value in normed)

# %%
figure, (left, right) = lesson.sheet(2, width=5.4, height=4.2)
left.plot(priors, entropy[:, 0], color=lesson.INK, lw=2, label="background")
left.plot(priors, entropy[:, 1], color=lesson.BLUE, lw=2, label="objects")
left.axvline(0.01, color=lesson.INK, lw=0.8, ls=":")
left.text(0.0088, 400, "pi = 0.01", color=lesson.INK, ha="left")
left.set_xscale("log")
left.set_yscale("log")
left.invert_xaxis()
left.legend(frameon=False)
lesson.chart(left, "The first loss (cross entropy)", "pi, the score at the start", "loss / objects")
for name, (_, _, colour) in runs.items():
    values = [value if math.isfinite(value) and value < 1e6 else math.nan for value in history[name]]
    right.plot(values, color=colour, lw=2, label=name)
    if math.isnan(values[-1]):
        last = max(step for step, value in enumerate(values) if not math.isnan(value))
        right.plot(last, values[last], "x", color=colour, ms=9, mew=2.5)
        right.annotate("diverged", (last, values[last]), (8, 0), textcoords="offset points", color=colour)
right.set_yscale("log")
right.set_xticks(range(0, 18, 3))
right.legend(frameon=False)
lesson.chart(right, "The steps after it", "step", "class loss")
run.save(figure, "prior")
