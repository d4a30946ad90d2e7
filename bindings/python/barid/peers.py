"""Without a network: exchanging with another device, and bundles in files."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol, TypeVar, Union

from . import _ffi
from ._calls import Core, translated

T = TypeVar("T")


class PeerStream(Protocol):
    """A connection to another device, however it came about. Its calls may wait, on a thread beside the loop."""

    def read(self, length_max: int) -> bytes:
        """Waits for bytes, up to so many; empty at the end. Raises `OSError` when it breaks."""

    def write(self, data: bytes) -> None:
        """Writes bytes, whole. Raises `OSError` when it breaks."""

    def close(self) -> None:
        """Ends the connection, and every read and write that waits."""


class SocketStream:
    """A connected socket as a stream."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, length_max: int) -> bytes:
        return self._connection.recv(length_max)

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)

    def close(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The other end was quicker.
        self._connection.close()


@dataclass(frozen=True)
class ExchangeReport:
    """How far an exchange has come, or what came of it."""

    #: The other device, once it is known.
    peer: Optional[str]
    #: Batches and bytes given that the other did not have, and taken that were not here.
    given: int
    taken: int
    given_bytes: int
    taken_bytes: int
    #: Whether both have what the other had.
    is_complete: bool


@dataclass(frozen=True)
class ExportReport:
    """What went into a bundle."""

    batches: int
    bytes: int
    #: Whether there is more than one bundle holds: make another of what is left after it arrived.
    is_partial: bool


@dataclass(frozen=True)
class ImportReport:
    """What came out of a bundle: batches that were not here, that were, that it should hold, and lack."""

    taken: int
    held: int
    total: int
    missing: int
    #: What is wrong with the file, in English, if its end was not reached.
    damage: Optional[str]


class Invitation:
    """What lets one other device exchange with this one, once, within ten minutes."""

    def __init__(self, core: Any) -> None:
        self._core = core
        #: What to show, as a QR code or as text. It is a secret between the two devices.
        self.code: str = core.code()


# The generated variants and constructors are not typed.
_untyped: Any = _ffi


class _Stream(_ffi.ByteStream):
    def __init__(self, stream: PeerStream) -> None:
        self._stream = stream

    def read(self, len_max: int) -> bytes:
        try:
            return self._stream.read(len_max)
        except (OSError, ValueError) as error:
            raise _untyped.StreamError.Broken(type(error).__name__) from error

    def write(self, bytes: bytes) -> None:
        try:
            self._stream.write(bytes)
        except (OSError, ValueError) as error:
            raise _untyped.StreamError.Broken(type(error).__name__) from error

    def shut(self) -> None:
        self._stream.close()


class _ExchangeProgress(_ffi.ExchangeObserver):
    def __init__(self, tell: Callable[[ExchangeReport], None]) -> None:
        self._tell = tell

    def progress(self, report: Any) -> None:
        self._tell(exchange_report(report))


class _BundleProgress(_ffi.BundleObserver):
    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self._tell = tell

    def progress(self, done: int, total: int) -> None:
        self._tell(done, total)


async def long_call(call: Callable[[Any], T]) -> T:
    """Runs a long call beside the loop. When the caller is cancelled, the call is, and has ended after."""
    cancel = _untyped.Cancel()
    work = asyncio.ensure_future(asyncio.to_thread(lambda: translated(lambda: call(cancel))))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        cancel.cancel()
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()
        raise


class Peers:
    """Exchanging with another device, encrypted, and only between the two who saw each other's code."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def invite(self) -> Invitation:
        """Makes a code to show the other device."""
        return Invitation(translated(lambda: self._core.store.peers().invite()))

    async def exchange(
        self,
        invitation: Invitation,
        stream: PeerStream,
        on_progress: Callable[[ExchangeReport], None] = lambda _: None,
    ) -> ExchangeReport:
        """Exchanges with the device that has read the invitation's code, until both have everything.

        The stream is closed at the end, however that comes. `on_progress` is called on another thread.
        """
        observer = _ExchangeProgress(on_progress)
        peers = self._core.store.peers()
        return exchange_report(
            await long_call(lambda cancel: peers.exchange(invitation._core, _Stream(stream), observer, cancel))
        )

    async def exchange_with(
        self,
        code: str,
        stream: PeerStream,
        on_progress: Callable[[ExchangeReport], None] = lambda _: None,
    ) -> ExchangeReport:
        """The same for the device that has read the other's code."""
        observer = _ExchangeProgress(on_progress)
        peers = self._core.store.peers()
        return exchange_report(
            await long_call(lambda cancel: peers.exchange_with(code, _Stream(stream), observer, cancel))
        )


class Bundles:
    """Records in a file, encrypted to one recipient, carried by hand where there is no network."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def export(
        self,
        path: Union[str, os.PathLike[str]],
        device: Optional[str] = None,
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> ExportReport:
        """Writes what the relay is not known to hold into a new file; for a device, everything here.

        The file is there when it is whole. `on_progress` gets bytes, on another thread.
        """
        recipient = _untyped.Recipient.RELAY() if device is None else _untyped.Recipient.DEVICE(device)
        bundles, observer = self._core.store.bundles(), _BundleProgress(on_progress)
        return export_report(
            await long_call(lambda cancel: bundles.export_to(os.fspath(path), recipient, observer, cancel))
        )

    async def import_(
        self,
        path: Union[str, os.PathLike[str]],
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> ImportReport:
        """Takes in everything of a bundle for this device that is whole. Doing it twice does no harm."""
        bundles, observer = self._core.store.bundles(), _BundleProgress(on_progress)
        report: Any = await long_call(lambda cancel: bundles.import_from(os.fspath(path), observer, cancel))
        return ImportReport(report.taken, report.held, report.total, report.missing, report.damage)


def exchange_report(report: Any) -> ExchangeReport:
    return ExchangeReport(
        report.peer, report.given, report.taken, report.given_len, report.taken_len, report.is_complete
    )


def export_report(report: Any) -> ExportReport:
    return ExportReport(report.batches, report.len, report.is_partial)
