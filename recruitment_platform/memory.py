"""Memory of processes that make block after block: what one lets go of, the next one needs again.

What belongs here: how freed memory is kept. What does not: how much anything needs.
"""

import ctypes

import pyarrow as pa

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""


def keep_freed_memory() -> None:
    """Has this process keep what it lets go of until it ends, where the C library is one that can be told to.

    Arrow and NumPy give large arrays back at once, and the system makes each page of the next ones zeros again.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, 2**30)
        set_option(_TRIM_THRESHOLD, -1)
