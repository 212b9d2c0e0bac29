"""Keeps arrays of several time points one below the other, so that one product sums over all of them."""

from core.backend import array_module, is_turned
from core.device_kernels import KEEP

# Time points whose products are summed by one matmul.
TIME_BLOCK = 16


class TimeBlock:
    """Holds room for arrays like `like` (n, k).

    Each has the memory order of `like`, so that copying runs along the memory.

    room   number of the arrays
    slots  the arrays, in the order of time
    """

    def __init__(self, like, room=TIME_BLOCK):
        xp, (*seeds, n, k) = array_module(like), like.shape
        self._samples, self._turned = n, is_turned(like)
        if self._turned:
            self._block = block = xp.empty((*seeds, k, room, n), dtype=like.dtype)
            by_time = xp.moveaxis(block, -2, 0).swapaxes(-1, -2)
            self._flat = block.reshape(*seeds, k, -1).swapaxes(-1, -2)
        else:
            self._block = block = xp.empty((*seeds, room, n, k), dtype=like.dtype)
            by_time, self._flat = xp.moveaxis(block, -3, 0), block.reshape(*seeds, -1, k)
        self.slots = [by_time[t] for t in range(room)]

    def rows(self, filled):
        """Returns the first `filled` arrays, stacked in the order of time: (filled * n, k)."""
        return self._flat[..., : filled * self._samples, :]

    def keep(self, kept):
        """Sets the samples to zero whose entry in `kept` (n,) is 0.0, not 1.0, at every time point; on a GPU."""
        KEEP(kept[..., None, None, :] if self._turned else kept[..., None, :, None], self._block)
