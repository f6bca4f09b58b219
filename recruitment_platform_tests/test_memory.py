"""A process that was told to keep freed memory asks the system for each page once."""

import subprocess
import sys

_FAULTS = """
import resource
import numpy as np
import pyarrow as pa
from recruitment_platform.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
    assert pa.default_memory_pool().backend_name == "system"

def use():
    columns = [np.ones(200_000) for _ in range(20)]
    return [pa.array(column).take(pa.array([0, 1])) for column in columns]

use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, keep: bool) -> int:
    command = [sys.executable, "-c", _FAULTS.format(keep=keep)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


def test_large_arrays_get_the_pages_of_those_before_them() -> None:
    assert page_faults(keep=True) < 1_000 < page_faults(keep=False)
