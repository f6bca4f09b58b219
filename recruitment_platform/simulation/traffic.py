"""The traffic of a block, as the raw rows that the door takes, with what each of them is meant to be.

The traffic is a function of the simulation and the block alone: made again it is the same, byte by byte, and position
for position. What belongs here: putting the parts together. What does not: what is in them (`events`, `faults`).
"""

import numpy as np
import pyarrow as pa

from recruitment_platform.simulation import faults
from recruitment_platform.simulation.encoding import as_text
from recruitment_platform.simulation.events import Block, intended
from recruitment_platform.simulation.text import reordered


def intents(block: Block) -> pa.Table:
    """The rows of the block as `INTENT`, in the order in which they arrive."""
    rows = intended(block, "main", block.count)
    added = faults.added(block)
    if not added:
        return rows
    rows = pa.concat_tables([rows, *added]).unify_dictionaries().combine_chunks()
    return reordered(rows, np.argsort(rows["arrived"].to_numpy(), kind="stable"))


def row_count(block: Block) -> int:
    """How many rows the block has, without making them."""
    return block.count + faults.added_count(block)


def raw_rows(block: Block, rows: pa.Table) -> pa.Table:
    """What the door is given for these intents of the block: the tracking columns, all text.

    Columns of few values are dictionaries, of which a value may be null.
    """
    return as_text(rows, block.rng("text"))
