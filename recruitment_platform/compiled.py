"""Loops over bytes at the speed of C, by numba: how each of them is compiled.

What belongs here: the one way to compile. What does not: the loops, which stand where they are used. Loading numba
takes a fifth of a second, so that modules with such loops are imported where they are needed, not above.
"""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled when it is first called with arguments of new types; other threads run meanwhile.

    What was compiled is kept beside the source or in the user's cache folder (or NUMBA_CACHE_DIR); where none can be
    written, each process compiles anew.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)
