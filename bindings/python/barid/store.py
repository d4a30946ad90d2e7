"""A device's records, on the device: what it recorded and what it knows of others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Optional, Union

from . import _ffi
from ._calls import Core, on_thread, translated
from ._live import Live
from .history import History
from .records import Records
from .sync import Sync


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

    async def close(self) -> None:
        """Ends the sync and lets go of the database. What was recorded is on the disk already."""
        if self._core.is_closed:
            return
        watching, self._watching = self._watching, None

        def close() -> None:
            if watching is not None:
                watching.cancel()
            self.sync.close()
            self._core.close()

        await on_thread(close)
        self._live.close()

    async def __aenter__(self) -> FieldStore:
        return self

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close()


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
        path=os.fspath(config.path), seed=config.secret, kinds=kinds, database_key=config.database_key
    )
