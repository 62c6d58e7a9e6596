"""Async variants of the API, named as in Django: `asend` is to `send` as `aget` is to `get`."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

P = ParamSpec("P")
R = TypeVar("R")


def as_async(verb: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return a coroutine function that runs `verb` in the one sync thread, as Django's ORM does."""

    @wraps(verb)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return await sync_to_async(verb)(*args, **kwargs)

    call.__name__ = call.__qualname__ = f"a{verb.__name__}"
    return call
