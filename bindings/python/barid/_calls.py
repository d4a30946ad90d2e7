"""Calls of the core: off the event loop, and with this library's errors."""

from __future__ import annotations

import asyncio
from typing import Callable, TypeVar

from . import _ffi, errors

T = TypeVar("T")

_WITH_TEXT: dict[str, type[errors.FieldError]] = {
    "InUse": errors.InUse,
    "UpdateNeeded": errors.UpdateNeeded,
    "KeyRefused": errors.KeyRefused,
    "NoSpace": errors.NoSpace,
    "Invalid": errors.Invalid,
    "NotFound": errors.NotFound,
    "NotEnrolled": errors.NotEnrolled,
    "CodeRejected": errors.CodeRejected,
    "Unreachable": errors.Unreachable,
    "Locked": errors.Locked,
    "PairingRejected": errors.PairingRejected,
    "BundleRejected": errors.BundleRejected,
    "FileExists": errors.FileExists,
    "FileFailed": errors.FileFailed,
    "UnsupportedPicture": errors.UnsupportedPicture,
    "TooLarge": errors.TooLarge,
    "Closed": errors.Closed,
    "Storage": errors.Storage,
}


def _translate(error: Exception) -> errors.FieldError:
    name = type(error).__name__.rpartition(".")[2]
    if name == "Damaged":
        kept_as = str(getattr(error, "kept_as"))
        return errors.Damaged(f"the database was damaged; it is kept as {kept_as}", kept_as)
    if name == "UnsentWork":
        return errors.UnsentWork("there is work that nobody else is known to hold", getattr(error, "unsent"))
    if name == "ConnectionLost":
        why = getattr(error, "why")
        return errors.ConnectionLost(f"the connection to the other device was lost: {why}", getattr(error, "report"))
    text = getattr(error, "why", None) or getattr(error, "what", None) or str(error) or name
    return _WITH_TEXT.get(name, errors.Internal)(str(text))


def translated(call: Callable[[], T]) -> T:
    """Runs a call, and turns what the core raises into what this library says that it raises."""
    try:
        return call()
    except _ffi.BaridError as error:
        raise _translate(error) from error
    except _ffi.InternalError as error:
        raise errors.Internal(str(error)) from error


async def on_thread(call: Callable[[], T]) -> T:
    """Runs a call that may wait for the disk or the network, beside the event loop."""
    return await asyncio.to_thread(translated, call)


class Core:
    """The core's objects, until the store is closed. Nobody else keeps them, so that closing frees the file."""

    def __init__(self, store: _ffi.FieldStore) -> None:
        self._store: _ffi.FieldStore | None = store

    @property
    def store(self) -> _ffi.FieldStore:
        if self._store is None:
            raise errors.Closed("the store is closed")
        return self._store

    @property
    def records(self) -> _ffi.Records:
        return self.store.records()

    @property
    def sync(self) -> _ffi.Sync:
        return self.store.sync()

    @property
    def is_closed(self) -> bool:
        return self._store is None

    def close(self) -> None:
        self._store = None
