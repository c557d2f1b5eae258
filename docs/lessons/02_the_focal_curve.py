# %% [markdown]
# # 2. The focal curve
#
# Figure 1 of the paper, drawn with the function that trains the models here, and the sentences of section
# 3.2 about it, checked one by one.
#
# `python docs/lessons/02_the_focal_curve.py`

# %%
import lesson
import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.ops.focal_loss import sigmoid_focal_loss
from foveal.types import BACKGROUND

run = lesson.begin("02_the_focal_curve")
GAMMAS = {0.0: lesson.INK, 0.5: lesson.GREEN, 1.0: lesson.VIOLET, 2.0: lesson.ORANGE, 5.0: lesson.BLUE}
OBJECT = 0  # the only class

# %% [markdown]
# ## One anchor
#
# The network gives a logit x; p = sigmoid(x) is its belief in an object. Equation 2 folds the two cases of y
# into one number, the belief in the truth: `p_t = p` for an object, `1 - p` for background. So `p_t =
# sigmoid(x)` for an object and `sigmoid(-x)` for background, and that is how the code has it: no branch, no
# logarithm of a rounded number.


# %%
def loss_at(p_t: float | Tensor, gamma: float, alpha: float = 1.0, label: int = OBJECT) -> Tensor:
    """Loss of one anchor for each p_t; alpha = 1 leaves equation 4, FL = -(1 - p_t)^gamma log(p_t)."""
    x = torch.logit(torch.as_tensor(p_t, dtype=torch.float64).reshape(-1))
    x = x if label == OBJECT else -x
    return torch.stack(
        [sigmoid_focal_loss(one.reshape(1, 1), torch.tensor([label]), alpha, gamma) for one in x]
    )


p_t = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
torch.testing.assert_close(loss_at(p_t, 0), -torch.log(p_t))  # equation 1
for gamma in GAMMAS:
    torch.testing.assert_close(loss_at(p_t, gamma), -((1 - p_t) ** gamma) * torch.log(p_t))  # equation 4
for alpha in (0.25, 0.75):  # equations 3 and 5: alpha for an object, 1 - alpha for background
    torch.testing.assert_close(loss_at(p_t, 2, alpha), alpha * loss_at(p_t, 2))
    torch.testing.assert_close(loss_at(p_t, 2, alpha, BACKGROUND), (1 - alpha) * loss_at(p_t, 2))

# %% [markdown]
# ## The sentences
#
# With gamma = 2, compared with cross entropy:
#
# * an example at p_t = 0.9 costs 100 times less, one at p_t = 0.968 about 1000 times;
# * a misclassified one, p_t <= 0.5, costs at most 4 times less: hard examples keep their weight;
# * cross entropy charges something even where all is well (p_t above 0.6), which many examples add up to a
#   flood.

# %%
print("   p_t      CE   FL, gamma 2   CE / FL")
for value in (0.1, 0.5, 0.6, 0.8, 0.9, 0.968, 0.99):
    ce, fl = loss_at(value, 0).item(), loss_at(value, 2).item()
    print(f"{value:6.3f}  {ce:6.3f}   {fl:11.6f}   {ce / fl:7.1f}")


def times(p_t: float, gamma: float = 2) -> float:
    """How many times less an anchor costs than under cross entropy."""
    return (loss_at(p_t, 0) / loss_at(p_t, gamma)).item()


assert abs(times(0.9) - 100) < 1e-6
assert abs(times(0.968) - 1000) < 30, "about: it is 977"
assert times(0.5) <= 4 + 1e-9
assert all(times(p) < 4 for p in (0.01, 0.1, 0.3, 0.49))
assert loss_at(0.8, 0) > 0.22 > 20 * loss_at(0.8, 2), "BCE at 0.8 is 0.223, the focal loss 0.009"
print(
    f"gamma 2: {times(0.9):.0f} times less at p_t = 0.9, {times(0.968):.0f} at 0.968, {times(0.5):.0f} at 0.5"
)

# %% [markdown]
# ## What the weights feel: the slope
#
# Appendix B gives the derivative: `dFL/dx = y (1 - p_t)^gamma (gamma p_t log(p_t) + p_t - 1)`. Our loss
# makes its gradient by that closed form, in the same pass as its value. Figure 6 of the paper shows it
# against `x_t = y x`.

# %%
x = torch.linspace(-6, 6, 241, dtype=torch.float64)


def slope_at(x: Tensor, gamma: float) -> Tensor:
    """Gradient of each logit [n] of an object."""
    x = x.clone().requires_grad_()
    sigmoid_focal_loss(x[:, None], torch.full((len(x),), OBJECT), 1.0, gamma).backward()
    return x.grad


for gamma in GAMMAS:
    p = x.sigmoid()
    paper = (1 - p) ** gamma * (gamma * p * F.logsigmoid(x) + p - 1)
    torch.testing.assert_close(slope_at(x, gamma), paper)

# %%
figure, (left, right) = lesson.sheet(2, width=5.4, height=4.2)
for gamma, colour in GAMMAS.items():
    name = f"$\\gamma$ = {gamma:g}" + (" (cross entropy)" if gamma == 0 else "")
    left.plot(p_t, loss_at(p_t, gamma), color=colour, lw=2, label=name)
    right.plot(x, slope_at(x, gamma), color=colour, lw=2)
left.axvspan(0.6, 1, color=lesson.GREY, alpha=0.15, lw=0)
left.text(0.8, 2.2, "well-classified\nexamples", ha="center", color=lesson.INK)
left.set_ylim(0, 5)
left.legend(frameon=False)
lesson.chart(left, "Figure 1: the loss", "probability of the true class, $p_t$", "loss")
lesson.chart(right, "Appendix B: the slope", "$x_t$ = y x, the logit in favour of the truth", "d loss / dx")
run.save(figure, "focal_curve")
