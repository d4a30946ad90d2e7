"""Syncing with the relay, in the background. Nothing waits for it: what is shown is what is here."""

from __future__ import annotations

import asyncio
import enum
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Callable, Optional

from . import _ffi
from ._calls import Core, on_thread, translated
from .values import from_millis


class Phase(enum.Enum):
    """What the sync is doing."""

    #: The device is not enrolled: it records, and has no relay to send to.
    NOT_ENROLLED = "not_enrolled"
    #: Not started, or paused by the app.
    PAUSED = "paused"
    #: No link; the next try is at `SyncStatus.next_try`.
    WAITING = "waiting"
    #: A link is being made.
    CONNECTING = "connecting"
    #: Something is on its way.
    SYNCING = "syncing"
    #: All records known here and there are exchanged and acknowledged.
    UP_TO_DATE = "up_to_date"


class SyncError(enum.Enum):
    """Why there is no link, as something to tell people; the value is stable, for translations."""

    #: No network, or nothing listens at the relay's address. It is tried again.
    UNREACHABLE = "unreachable"
    #: Whoever answers is not the relay of the enrolment. Nothing was sent.
    NOT_OUR_RELAY = "not_our_relay"
    #: Something that is not a relay answers, as the sign-in page of a hotel's network does.
    NOT_A_RELAY = "not_a_relay"
    #: The link was cut. It is tried again.
    CUT = "cut"
    #: The relay, or the device, closed the link; `SyncStatus.error_text` says why.
    CLOSED = "closed"
    #: The device's database failed.
    STORAGE = "storage"


@dataclass(frozen=True)
class Progress:
    """How far one direction has come on this link: batches and bytes, in all where that is known."""

    done: int = 0
    total: Optional[int] = None
    done_bytes: int = 0
    total_bytes: Optional[int] = None


@dataclass(frozen=True)
class SyncStatus:
    """Everything that a screen may want to say about the sync."""

    phase: Phase
    #: Towards the relay; done means acknowledged.
    up: Progress
    #: From the relay; done means stored.
    down: Progress
    #: Records with changes that no relay has acknowledged.
    unsent_records: int
    #: Attachments that no relay has acknowledged, and their bytes.
    unsent_attachments: int
    unsent_attachment_bytes: int
    #: Why the relay does not take something of this device's, while that is so. The device keeps it.
    turned_down: Optional[str]
    #: When everything was last exchanged, and whether that ever was so.
    last_success: Optional[datetime]
    has_synced_once: bool
    #: When the next link is tried, while waiting.
    next_try: Optional[datetime]
    error: Optional[SyncError]
    #: The error in English, for developers.
    error_text: Optional[str]
    #: The relay's address, while there is a link.
    via: Optional[str]
    #: Whether the relay says that this device was revoked, and whether it is asked to be wiped.
    is_revoked: bool
    is_wipe_asked: bool
    #: Whether the store is locked.
    is_locked: bool


class _Watcher(_ffi.StatusObserver):
    """Hears of a new status on a thread of the core's."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def status(self, status: _ffi.SyncStatus) -> None:
        self._tell()


class Sync:
    """The sync of one store."""

    def __init__(self, core: Core, is_enrolled: Callable[[], bool]) -> None:
        self._core = core
        self._is_enrolled = is_enrolled
        self._is_wanted = False
        self._is_closed = False
        self._watching: Optional[_ffi.Subscription] = None
        self._lock = threading.Lock()
        self._listeners: dict[object, Callable[[], None]] = {}

    @property
    def status(self) -> SyncStatus:
        """What the sync is doing now."""
        return status_from_core(translated(lambda: self._core.sync.status()), self._is_enrolled())

    async def observe_status(self) -> AsyncIterator[SyncStatus]:
        """The status now, and whenever it changes. Who iterates slowly skips what lay between."""
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        wake.set()

        def listener() -> None:
            try:
                loop.call_soon_threadsafe(wake.set)
            except RuntimeError:
                pass  # The loop has ended, and with it whoever listened.

        token = object()
        with self._lock:
            self._listeners[token] = listener
        told: Optional[SyncStatus] = None
        try:
            while not self._is_closed:
                await wake.wait()
                wake.clear()
                if self._is_closed:
                    return
                now = await on_thread(lambda: self.status)
                if now != told:
                    told = now
                    yield now
        finally:
            with self._lock:
                self._listeners.pop(token, None)

    def start(self) -> None:
        """Syncs from now on, whenever there is a network. Before the enrolment it waits for that."""
        self._is_wanted = True
        self.begin()

    def request(self) -> None:
        """Tries now instead of waiting for the next try: the user wants it, or there is a network again."""
        translated(lambda: self._core.sync.request())

    def pause(self) -> None:
        """Makes no link until the next `start`; recording goes on."""
        self._is_wanted = False
        translated(lambda: self._core.sync.pause())

    async def await_synced(self, timeout: Optional[float] = None) -> bool:
        """Waits until every record here is acknowledged by the relay; false after so many seconds.

        It does not start the sync.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not await on_thread(lambda: self._core.sync.is_synced()):
            if end is not None and time.monotonic() >= end:
                return False
            await asyncio.sleep(0.05)
        return True

    def begin(self) -> None:
        """Starts if that is wanted and possible."""
        if not self._is_wanted or not self._is_enrolled():
            return
        translated(lambda: self._core.sync.start())
        if self._watching is None:
            self._watching = translated(lambda: self._core.sync.observe(_Watcher(self._tell)))

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener()

    def close(self) -> None:
        """Ends the sync and every iteration."""
        self._is_closed = True
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        self._core.sync.stop()
        self._tell()


def _progress(progress: _ffi.Progress) -> Progress:
    return Progress(progress.done, progress.total, progress.done_len, progress.total_len)


def _error(failure: _ffi.SyncFailure) -> SyncError:
    known = {
        "UNREACHABLE": SyncError.UNREACHABLE,
        "CERTIFICATE": SyncError.NOT_OUR_RELAY,
        "NOT_A_RELAY": SyncError.NOT_A_RELAY,
        "CUT": SyncError.CUT,
        "STORAGE": SyncError.STORAGE,
    }
    return known.get(type(failure).__name__.rpartition(".")[2], SyncError.CLOSED)


def status_from_core(status: _ffi.SyncStatus, is_enrolled: bool) -> SyncStatus:
    phase = Phase[status.phase.name]
    if phase is Phase.PAUSED and not is_enrolled:
        phase = Phase.NOT_ENROLLED
    failure = status.error
    return SyncStatus(
        phase=phase,
        up=_progress(status.up),
        down=_progress(status.down),
        unsent_records=status.unsent_records,
        unsent_attachments=status.unsent_attachments,
        unsent_attachment_bytes=status.unsent_attachment_len,
        turned_down=status.turned_down,
        last_success=None if status.last_success_ms is None else from_millis(status.last_success_ms),
        has_synced_once=status.last_success_ms is not None,
        next_try=None if status.next_try_ms is None else from_millis(status.next_try_ms),
        error=None if failure is None else _error(failure),
        error_text=getattr(failure, "why", None),
        via=status.via,
        is_revoked=status.is_revoked,
        is_wipe_asked=status.is_wipe_asked,
        is_locked=status.is_locked,
    )
