"""When the size of a result may follow the data, and when it may not.

On the CPU it pays to look only at the rows that count: a handful of objects among 200,000 anchors. On CUDA the
number of such rows would have to be read back before the next kernel can be started, and the device would
stand idle meanwhile; there every row is computed and those that do not count are masked.
"""

from __future__ import annotations

from torch import Tensor


def needs_fixed_size(x: Tensor) -> bool:
    """Whether work on the device of x must have sizes that do not depend on values."""
    return x.is_cuda
