"""A device's records, on the device: what it recorded and what it knows of others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Optional, Union

from . import _ffi
from ._calls import Core, on_thread, translated
from ._live import Live
from .attachments import Attachments
from .history import History
from .peers import Bundles, ExportReport, Peers, export_report, long_call
from .records import Records
from .sync import Sync
from .tracks import Tracks
from .values import from_millis


@dataclass(frozen=True)
class KindDeclaration:
    """An app's own kind of record. What is not declared may be recorded all the same."""

    #: Its name, as `checkpoint`.
    name: str
    #: Fields captured once, when the record is made: who, when, where.
    captured: Sequence[str] = ()
    #: Fields that people edit.
    editable: Sequence[str] = ()
    #: The fields with the time, the latitude and longitude in degrees, and the state.
    time: Optional[str] = None
    latitude: Optional[str] = None
    longitude: Optional[str] = None
    state: Optional[str] = None
    #: The fields that are searched; none given means every text.
    searched: Optional[Sequence[str]] = None


@dataclass(frozen=True)
class StoreConfig:
    """What a store is opened with. It prints its path alone."""

    #: The database file, made if it is not there.
    path: Union[str, os.PathLike[str]]
    #: The device's secret: 32 bytes from `FieldStore.new_secret`, the same at every opening. Whoever
    #: has it is this device: keep it in the platform's key store.
    secret: bytes = field(repr=False)
    #: The app's own kinds of records; patrols, events and alerts are known without.
    kinds: Sequence[KindDeclaration] = field(default=(), repr=False)
    #: How long the store shows what it holds without having met its relay; none means for ever.
    lease: Optional[timedelta] = None
    #: The key of an encrypted database: 32 bytes. Needs a library built with encryption.
    database_key: Optional[bytes] = field(default=None, repr=False)


@dataclass(frozen=True)
class Enrolment:
    """Where a device belongs: the relay's address, its organisation, and its spaces, the default first."""

    url: str
    organisation: str
    spaces: Sequence[str]


@dataclass(frozen=True)
class RecoverReport:
    """What came back from a damaged database."""

    #: Intact batches.
    batches: int
    #: Changes that no relay had, recorded again.
    changes: int
    #: Intact changes that the new store refuses.
    failed: int


@dataclass(frozen=True)
class LockState:
    """Whether a store shows what it holds, and if not, whether the app or the lease locked it."""

    is_locked: bool
    is_by_lease: bool = False
    #: When an unlocked one is locked unless the relay is met before; none without a lease.
    lease_ends: Optional[datetime] = None


@dataclass(frozen=True)
class Unsent:
    """What nobody but this device is known to hold."""

    records: int
    changes: int
    bytes: int
    attachments: int
    attachment_bytes: int
    #: Batches of others that this device carries to a relay.
    carried: int
    #: Damaged databases beside this one that were not brought back.
    damaged_files: int


@dataclass(frozen=True)
class WipeReport:
    """What a wipe deleted that nobody else was known to hold, and what went into the bundle before."""

    unsent: Unsent
    exported: Optional[ExportReport]


class FieldStore:
    """A store that is open. Open one for each database file, and close it, or use `async with`.

    Every method that is awaited does its work beside the event loop. What fails raises a `FieldError`,
    which says what the app can do; iterators never raise.
    """

    def __init__(self, core: _ffi.FieldStore) -> None:
        """For `open` alone."""
        self._core = Core(core)
        self._enrolment = _enrolment(translated(core.enrolment))
        self._live = Live()
        self._watching: Optional[_ffi.Subscription] = core.records().observe(self._live)
        #: This device's public id, in hex.
        self.device_id: str = core.device_id()
        #: Recording and reading.
        self.records = Records(self._core, self._live)
        #: Syncing with the relay.
        self.sync = Sync(self._core, lambda: self._enrolment is not None)
        #: Pictures of records.
        self.attachments = Attachments(self._core, self._live)
        #: Tracks of patrols.
        self.tracks = Tracks(self._core)
        #: Exchanging with another device.
        self.peers = Peers(self._core)
        #: Records in a file.
        self.bundles = Bundles(self._core)
        #: What was done to a record, and conflicts.
        self.history = History(self._core, self.records)

    @classmethod
    async def open(cls, config: StoreConfig) -> FieldStore:
        """Opens the database, or makes it. Needs no network, now or ever."""
        asked = _config(config)
        return await on_thread(lambda: cls(_ffi.FieldStore.open(asked)))

    @staticmethod
    async def recover(damaged: Union[str, os.PathLike[str]], into: StoreConfig) -> RecoverReport:
        """Brings everything intact of a damaged database file into a new store; the file stays."""
        asked = _config(into)
        report = await on_thread(lambda: _ffi.recover(os.fspath(damaged), asked))
        return RecoverReport(report.batches, report.changes, report.failed)

    @staticmethod
    def new_secret() -> bytes:
        """Makes the secret of a new device: 32 bytes."""
        return bytes(_ffi.generate_seed())

    @property
    def enrolment(self) -> Optional[Enrolment]:
        """Where the device belongs, once it is enrolled."""
        return self._enrolment

    async def enrol(self, code: str, label: str) -> Enrolment:
        """Enrols with the relay that made the code; needs the network, once.

        The label is what people call the device, as `Patrol 3`.
        """
        enrolment = _enrolment(await on_thread(lambda: self._core.store.enrol(code, label)))
        assert enrolment is not None
        self._enrolment = enrolment
        self.sync.begin()
        return enrolment

    async def lock_state(self) -> LockState:
        """Whether the store shows what it holds."""
        return _lock_state(await on_thread(lambda: self._core.store.lock_state()))

    async def lock(self) -> None:
        """Locks it: it records, sends alerts and syncs as before, and shows nothing, also when opened anew."""
        await on_thread(lambda: self._core.store.lock())
        self._live.changed([])

    async def unlock(self) -> LockState:
        """Unlocks what `lock` locked. What the lease locked only a sync unlocks."""
        state = _lock_state(await on_thread(lambda: self._core.store.unlock()))
        self._live.changed([])
        return state

    async def unsent(self) -> Unsent:
        """What nobody but this device is known to hold."""
        return _unsent(await on_thread(lambda: self._core.store.unsent()))

    async def wipe(
        self, export_first: Optional[Union[str, os.PathLike[str]]] = None, force: bool = False
    ) -> WipeReport:
        """Deletes everything that this device holds, and closes the store; the app deletes the secret.

        Refuses with `UnsentWork` while there is work that nobody else is known to hold, unless that is
        written into a bundle first, or `force` is set: ask the user before, and say how much it is.
        """
        variants: Any = _ffi.WipeMode
        if force:
            mode = variants.FORCE()
        elif export_first is not None:
            mode = variants.EXPORT_FIRST(os.fspath(export_first))
        else:
            mode = variants.REFUSE_IF_UNSENT()
        store = self._core.store
        report = await long_call(lambda cancel: store.wipe(mode, cancel))
        await self.close()
        return WipeReport(_unsent(report.unsent), None if report.exported is None else export_report(report.exported))

    async def close(self) -> None:
        """Ends the sync and lets go of the database. What was recorded is on the disk already."""
        if self._core.is_closed:
            return
        watching, self._watching = self._watching, None

        def close() -> None:
            if watching is not None:
                watching.cancel()
            self.sync.close()
            self._core.store.shut_down()
            self._core.close()

        await on_thread(close)
        self._live.close()

    async def __aenter__(self) -> FieldStore:
        return self

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close()


def _lock_state(state: Any) -> LockState:
    if state.is_UNLOCKED():
        ends = state.lease_ends_ms
        return LockState(is_locked=False, lease_ends=None if ends is None else from_millis(ends))
    return LockState(is_locked=True, is_by_lease=state.is_LEASE_ENDED())


def _unsent(unsent: Any) -> Unsent:
    return Unsent(
        unsent.records,
        unsent.changes,
        unsent.bytes,
        unsent.attachments,
        unsent.attachment_bytes,
        unsent.carried,
        unsent.damaged_files,
    )


def _enrolment(enrolment: Optional[_ffi.Enrolment]) -> Optional[Enrolment]:
    if enrolment is None:
        return None
    return Enrolment(enrolment.url, enrolment.organisation, list(enrolment.spaces))


def _config(config: StoreConfig) -> _ffi.StoreConfig:
    kinds = [
        _ffi.KindDeclaration(
            name=kind.name,
            captured=list(kind.captured),
            editable=list(kind.editable),
            time=kind.time,
            latitude=kind.latitude,
            longitude=kind.longitude,
            state=kind.state,
            searched=None if kind.searched is None else list(kind.searched),
        )
        for kind in config.kinds
    ]
    return _ffi.StoreConfig(
        path=os.fspath(config.path),
        seed=config.secret,
        kinds=kinds,
        lease_ms=None if config.lease is None else round(config.lease.total_seconds() * 1000),
        database_key=config.database_key,
    )
