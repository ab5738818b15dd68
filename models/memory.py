"""What the batch script asks of the C library, so that its memory does not grow with the input.

All of it is for glibc; with another C library nothing happens. It concerns the whole process, and so it is for programs
alone: who imports the predictor decides about such things. Nothing but the standard library is imported.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

HEAPS: Final = 2
LARGE_BLOCK: Final = 4 << 20  # bytes
_ARENA_MAX, _MMAP_THRESHOLD = -8, -3  # the numbers that mallopt(3) has for them


def share_heaps() -> None:
    """Have all threads share `HEAPS` heaps; to be called before numpy is imported, which starts threads.

    Else each thread has one of its own, which is in time as large as the most that this thread ever held: a run then
    took a tenth more memory, and grew by another tenth from its first hundred thousand articles to the millionth.
    """
    _call("mallopt", _ARENA_MAX, HEAPS)


def keep_large_blocks_apart() -> None:
    """Take blocks of at least `LARGE_BLOCK` bytes, such as tables of words, from the system, not from a heap.

    There each leaves a hole, over which smaller ones spread. To be called when the model is loaded, which sets another
    limit (see `models.predictor`).
    """
    _call("mallopt", _MMAP_THRESHOLD, LARGE_BLOCK)


def give_back_memory() -> None:
    """Give the system what is free between the blocks in use."""
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> None:
    with suppress(OSError, AttributeError, TypeError):
        getattr(ctypes.CDLL(None), function)(*arguments)
