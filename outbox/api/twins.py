"""Async twins of the verbs, by Django's own convention: `asend` is to `send` as `aget` to `get`."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

P = ParamSpec("P")
R = TypeVar("R")


def twin(verb: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return the verb as a coroutine function; like Django's ORM it runs in the one sync thread."""

    @wraps(verb)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return await sync_to_async(verb)(*args, **kwargs)

    call.__name__ = call.__qualname__ = f"a{verb.__name__}"
    return call
