"""How a run of the daemon is executed: all steps in its own process, by which it can be told whether it still lives.

What belongs here: the executor of all jobs. What does not: which jobs there are (`jobs`), what becomes of runs whose
process is gone (`instance`). https://docs.dagster.io/guides/operate/run-executors
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from recruitment_platform.automation.event_log import connected
from recruitment_platform.automation.instance import tag_with_process


class _Known(dg.Executor):
    """Another executor, before which the run is tagged with its process."""

    def __init__(self, executor: dg.Executor) -> None:
        self._executor = executor

    @property
    def retries(self) -> Any:
        """That of the other one."""
        return self._executor.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """What the other one does."""
        tag_with_process(plan_context.instance, plan_context.run_id)
        with connected(plan_context.instance):
            yield from self._executor.execute(plan_context, execution_plan)


_IN_PROCESS: Any = dg.in_process_executor


@dg.executor(name="in_process", config_schema=_IN_PROCESS.config_schema)
def in_one_process(context: dg.InitExecutorContext) -> dg.Executor:
    """Dagster's in-process executor. One process a run, so that all its steps share one Spark."""
    return _Known(_IN_PROCESS.executor_creation_fn(context))
