"""torch's fused Adam without its compiler hooks.

torch.optim decorates its methods for ``torch.compile``; the first call of any of them imports the compiler, which takes
2 to 5 s in every worker process. Nothing here is compiled, so the same methods are called undecorated.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch


class Adam(torch.optim.Adam):
    """``torch.optim.Adam``: same arguments, same state, same kernels, equal to the bit."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)

    def step(self, closure: Any = None) -> Any:
        """One update; the decorator that is left out would have turned gradients off, too."""
        with torch.no_grad():
            return _step(self, closure)


_step = inspect.unwrap(torch.optim.Adam.step)
