"""Prefect tasks whose names people recognise, and which nothing caches."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from prefect import State as PrefectState
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.states import Failed

from components.errors import VitrineError

P = ParamSpec("P")
T = TypeVar("T")


def named(name: str, run_name: str = "") -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A Prefect task of that name; its run may have another. An error that a user can act on ends it as a state, which Prefect logs without
    a traceback; whoever calls the task gets it raised."""

    def made(function: Callable[P, T]) -> Callable[P, T]:
        def run(*args: P.args, **kwargs: P.kwargs) -> T | PrefectState[Any]:
            try:
                return function(*args, **kwargs)
            except VitrineError as error:
                return Failed(message=str(error), data=error)

        functools.update_wrapper(run, function)
        of_prefect: Any = task(name=name, task_run_name=run_name or name, cache_policy=NO_CACHE, persist_result=False)(run)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            return cast(T, of_prefect(*args, return_state=True, **kwargs).result())

        return called

    return made


def own_run_id() -> str:
    """The id of the flow run that this is called in."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return str(context.flow_run.id)
