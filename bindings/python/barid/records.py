"""Recording and reading. What is recorded is durable when the call returns, network or not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from . import _ffi
from ._calls import Core, on_thread, translated
from ._live import Live
from .errors import Invalid, Locked
from .values import Given, Value, fields_from_core, fields_to_core, from_millis, to_millis


@dataclass(frozen=True)
class RecordKey:
    """Which record: its space and id in hex and as a UUID, and its kind, as `event`."""

    space: str
    kind: str
    id: str


@dataclass(frozen=True)
class Place:
    """A place in degrees (WGS 84). It does not print itself, so that no position reaches a log."""

    latitude: float = field(repr=False)
    longitude: float = field(repr=False)


@dataclass(frozen=True)
class Area:
    """A box on the map; one over the date line has its western longitude above its eastern."""

    south_west: Place
    north_east: Place


@dataclass(frozen=True)
class Record:
    """A record as it stands on this device. It prints its key, and never what it says."""

    key: RecordKey
    #: Every field, those that no kind declares too.
    fields: Mapping[str, Value] = field(repr=False)
    #: When it happened; when it was made, if its kind has no time.
    time: datetime = field(repr=False)
    #: Where it happened, if that is known.
    place: Optional[Place] = field(repr=False)
    #: Its state, if its kind has one.
    state: Optional[str] = field(repr=False)
    #: The organisation whose device made it, in hex, if that is known here.
    organisation: Optional[str]
    #: The device that made it.
    created_by: str
    #: When it was made, by that device's clock.
    created_at: datetime
    #: When it was last changed, by the clock of whoever did.
    updated_at: datetime
    is_withdrawn: bool
    #: Fields with several values that nobody has decided between; see `History.conflicts`.
    conflicts: int
    #: Whether the relay has acknowledged everything that this device changed in it.
    is_delivered: bool


@dataclass(frozen=True)
class RecordPage:
    """A page of records, the newest first."""

    records: Sequence[Record]
    #: Give it as `Query.after` for the next page; none when this is the last.
    next: Optional[str]


@dataclass(frozen=True)
class RecordDiff:
    """How a list of records differs from what was told before."""

    #: The whole list now.
    records: Sequence[Record] = field(repr=False)
    inserted: Sequence[Record]
    updated: Sequence[Record]
    removed: Sequence[RecordKey]


@dataclass(frozen=True)
class Query:
    """What to look for; what is not given is not asked."""

    space: Optional[str] = None
    kind: Optional[str] = None
    #: From this time on, and before that one.
    since: Optional[datetime] = None
    until: Optional[datetime] = None
    area: Optional[Area] = field(default=None, repr=False)
    state: Optional[str] = None
    organisation: Optional[str] = None
    #: With these words, with or without article, however the hamza was typed.
    text: Optional[str] = field(default=None, repr=False)
    include_withdrawn: bool = False
    conflicts_only: bool = False
    #: So many at most, 1 to 1,000.
    limit: int = 100
    #: The page after this one: `RecordPage.next` of the page before.
    after: Optional[str] = None


# The generated variants are not told to be what they are variants of.
_Writes: Any = _ffi.Write


class WriteGroup:
    """Several writes that are one; see `Records.group`. What raises inside writes nothing."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._writes: list[Any] = []

    def put(self, kind: str, fields: Mapping[str, Given], space: Optional[str] = None) -> RecordKey:
        """Records something new."""
        values = fields_to_core(fields)
        key = self._core.records.new_key(kind, space)
        self._writes.append(_Writes.PUT(key, values))
        return key_from_core(key)

    def patch(self, key: RecordKey, changes: Mapping[str, Given]) -> None:
        """Sets some fields of a record."""
        self._writes.append(_Writes.PATCH(key_to_core(key), fields_to_core(changes)))

    def remove(self, key: RecordKey, *names: str) -> None:
        """Removes some fields of a record."""
        self._writes.append(_Writes.PATCH(key_to_core(key), {name: None for name in names}))

    def withdraw(self, key: RecordKey) -> None:
        """Withdraws a record."""
        self._writes.append(_Writes.WITHDRAW(key_to_core(key)))

    async def __aenter__(self) -> WriteGroup:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None and self._writes:
            await on_thread(lambda: self._core.records.write(self._writes))


class Records:
    """The records of one store."""

    def __init__(self, core: Core, live: Live) -> None:
        self._core = core
        self._live = live

    async def put(self, kind: str, fields: Mapping[str, Given], space: Optional[str] = None) -> RecordKey:
        """Records something new. Without a space, in the first of the enrolment."""
        values = fields_to_core(fields)
        return key_from_core(await on_thread(lambda: self._core.records.put(kind, values, space)))

    async def patch(self, key: RecordKey, changes: Mapping[str, Given]) -> None:
        """Sets some fields of a record. Setting a field that has a conflict decides it."""
        values = fields_to_core(changes)
        await on_thread(lambda: self._core.records.patch(key_to_core(key), values))

    async def remove(self, key: RecordKey, *names: str) -> None:
        """Removes some fields of a record."""
        await on_thread(lambda: self._core.records.patch(key_to_core(key), {name: None for name in names}))

    async def withdraw(self, key: RecordKey) -> None:
        """Withdraws a record: it is shown no more, and its history stays."""
        await on_thread(lambda: self._core.records.withdraw(key_to_core(key)))

    def group(self) -> WriteGroup:
        """Several writes as one: `async with store.records.group() as group: group.put(…)`.

        All are durable together when the block ends, or none is, and they travel together.
        """
        return WriteGroup(self._core)

    async def get(self, key: RecordKey) -> Optional[Record]:
        """A record, if it is here; a withdrawn one too."""
        return await on_thread(lambda: self._read_one(key))

    async def query(self, query: Query = Query()) -> RecordPage:
        """Records that match, the newest first."""
        asked = query_to_core(query)
        return await on_thread(lambda: self._read(asked))

    def observe(self, query: Query = Query()) -> AsyncIterator[Sequence[Record]]:
        """Records that match now, and whenever they change; empty while the store is locked."""
        asked = query_to_core(query)

        def concerns(key: _ffi.RecordKey) -> bool:
            return query.kind in (None, key.kind) and query.space in (None, key.space)

        def read() -> Sequence[Record]:
            try:
                return translated(lambda: self._read(asked)).records
            except Locked:
                return []

        return self._live.watch(concerns, read)

    def observe_record(self, key: RecordKey) -> AsyncIterator[Optional[Record]]:
        """A record now, and whenever it changes; none while it is not here, or while the store is locked."""
        wanted = key_to_core(key)

        def read() -> Optional[Record]:
            try:
                return translated(lambda: self._read_one(key))
            except Locked:
                return None

        return self._live.watch(lambda changed: changed == wanted, read)

    async def observe_changes(self, query: Query = Query()) -> AsyncIterator[RecordDiff]:
        """The same with what is new, other and gone since the last time; the first tells of all as new."""
        before: Sequence[Record] = []
        async for now in self.observe(query):
            held = {record.key: record for record in before}
            keys = {record.key for record in now}
            yield RecordDiff(
                records=now,
                inserted=[record for record in now if record.key not in held],
                updated=[record for record in now if held.get(record.key, record) != record],
                removed=[record.key for record in before if record.key not in keys],
            )
            before = now

    def _read(self, query: _ffi.Query) -> RecordPage:
        page = self._core.records.query(query)
        return RecordPage([record_from_core(record) for record in page.records], page.next)

    def _read_one(self, key: RecordKey) -> Optional[Record]:
        record = self._core.records.get(key_to_core(key))
        return None if record is None else record_from_core(record)


def key_to_core(key: RecordKey) -> _ffi.RecordKey:
    return _ffi.RecordKey(space=key.space, kind=key.kind, id=key.id)


def key_from_core(key: _ffi.RecordKey) -> RecordKey:
    return RecordKey(space=key.space, kind=key.kind, id=key.id)


def record_from_core(record: _ffi.Record) -> Record:
    place = record.place
    return Record(
        key=key_from_core(record.key),
        fields=fields_from_core(record.fields),
        time=from_millis(record.time_ms),
        place=None if place is None else Place(place.latitude, place.longitude),
        state=record.state,
        organisation=record.organisation,
        created_by=record.created_by,
        created_at=from_millis(record.created_ms),
        updated_at=from_millis(record.updated_ms),
        is_withdrawn=record.withdrawn,
        conflicts=record.conflicts,
        is_delivered=record.delivered,
    )


def query_to_core(query: Query) -> _ffi.Query:
    if not 1 <= query.limit <= 1000:
        raise Invalid("the limit of a query is 1 to 1,000")

    def corner(place: Place) -> _ffi.Place:
        return _ffi.Place(latitude=place.latitude, longitude=place.longitude)

    return _ffi.Query(
        space=query.space,
        kind=query.kind,
        from_ms=None if query.since is None else to_millis(query.since),
        to_ms=None if query.until is None else to_millis(query.until),
        south_west=None if query.area is None else corner(query.area.south_west),
        north_east=None if query.area is None else corner(query.area.north_east),
        state=query.state,
        organisation=query.organisation,
        text=query.text,
        include_withdrawn=query.include_withdrawn,
        conflicts_only=query.conflicts_only,
        limit=query.limit,
        after=query.after,
    )


__all__ = [
    "Area",
    "Place",
    "Query",
    "Record",
    "RecordDiff",
    "RecordKey",
    "RecordPage",
    "Records",
    "WriteGroup",
]
