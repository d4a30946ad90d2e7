"""Turns the core's callbacks, which come on its own threads, into async iterators that read again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Callable, TypeVar

from . import _ffi, errors
from ._calls import on_thread

T = TypeVar("T")
Keys = list[_ffi.RecordKey]


class Live(_ffi.RecordObserver):
    """Tells whoever iterates that something changed. It keeps nothing: they read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[object, Callable[[Keys | None], None]] = {}
        self._is_closed = False

    def changed(self, keys: Keys) -> None:
        """Called on the thread that committed, which must not wait."""
        self._tell(keys)

    def close(self) -> None:
        """Ends every iteration."""
        self._is_closed = True
        self._tell(None)

    def _tell(self, keys: Keys | None) -> None:
        with self._lock:
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener(keys)

    async def watch(
        self, concerns: Callable[[_ffi.RecordKey], bool], read: Callable[[], T]
    ) -> AsyncIterator[T]:
        """What is read, now and after each change that concerns it and makes it another.

        Who iterates slowly skips what lay between. While reading fails, what was told last stands.
        """
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        wake.set()

        def listener(keys: Keys | None) -> None:
            if keys is None or not keys or any(map(concerns, keys)):
                try:
                    loop.call_soon_threadsafe(wake.set)
                except RuntimeError:
                    pass  # The loop has ended, and with it whoever listened.

        token = object()
        with self._lock:
            self._listeners[token] = listener
        told: list[T] = []
        try:
            while not self._is_closed:
                await wake.wait()
                wake.clear()
                try:
                    now = await on_thread(read)
                except errors.Closed:
                    return
                except errors.FieldError:
                    continue
                if told != [now]:
                    told = [now]
                    yield now
        finally:
            with self._lock:
                self._listeners.pop(token, None)
