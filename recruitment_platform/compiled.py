"""Loops over bytes at the speed of C, by numba: how each of them is compiled.

What belongs here: the one way to compile. What does not: the loops, which stand where they are used. Loading numba
takes a fifth of a second, so that modules with such loops are imported where they are needed, not above.
"""

from collections.abc import Callable
from typing import Any, cast

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled when it is first called with arguments of new types; other threads run meanwhile.

    What was compiled is kept beside the source or in the user's cache folder (or NUMBA_CACHE_DIR); where none can be
    written, each process compiles anew.
    """
    return _compiled(function)


def compiled_in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `compiled`, of a function that makes no array, only reads and fills those that it is given.

    Numba then need not count who holds them at each call of another function, which takes as long as reading a time.
    """
    return _compiled(function, _nrt=False)


def _compiled(function: Callable[..., Any], **options: bool) -> Callable[..., Any]:
    # Not all options are among those that numba tells type checkers of.
    compiler: Any = numba.njit
    try:
        compiled_function = compiler(nogil=True, cache=True, **options)(function)
    except RuntimeError:
        compiled_function = compiler(nogil=True, **options)(function)
    return cast(Callable[..., Any], compiled_function)
