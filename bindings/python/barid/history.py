"""What was done to a record, and what nobody has decided between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Optional

from ._calls import Core, on_thread
from .records import Query, Record, RecordKey, Records, key_to_core
from .values import Given, Value, from_core, from_millis


@dataclass(frozen=True)
class Change:
    """One change of a record."""

    #: Its hash, in hex.
    id: str
    #: The device that made it.
    device: str
    #: When, by that device's clock.
    time: datetime
    #: The fields that it set.
    sets: Mapping[str, Value] = field(repr=False)
    #: The fields that it removed.
    removes: Sequence[str] = field(repr=False)


@dataclass(frozen=True)
class ConflictSide:
    """One of the values of a conflict."""

    #: The value; none too if this side removed the field, which `is_removed` says.
    value: Value = field(repr=False)
    is_removed: bool
    #: The device that wrote it.
    device: str
    #: When, by that device's clock.
    time: datetime


@dataclass(frozen=True)
class Conflict:
    """A field with values written without knowing of one another. All are kept until somebody decides."""

    field: str
    #: The values, the one that is shown first.
    sides: Sequence[ConflictSide]


class History:
    """The history of one store's records."""

    def __init__(self, core: Core, records: Records) -> None:
        self._core = core
        self._records = records

    async def of(self, key: RecordKey) -> Sequence[Change]:
        """Every change of a record, the oldest first."""

        def read() -> Sequence[Change]:
            return [
                Change(
                    id=entry.change,
                    device=entry.device,
                    time=from_millis(entry.time_ms),
                    sets={item.field: from_core(item.value) for item in entry.sets if item.value is not None},
                    removes=[item.field for item in entry.sets if item.value is None],
                )
                for entry in self._core.records.history(key_to_core(key))
            ]

        return await on_thread(read)

    async def conflicts(self, key: RecordKey) -> Sequence[Conflict]:
        """The fields of a record that have conflicts."""

        def read() -> Sequence[Conflict]:
            return [
                Conflict(
                    field=conflict.field,
                    sides=[
                        ConflictSide(
                            value=None if side.value is None else from_core(side.value),
                            is_removed=side.value is None,
                            device=side.device,
                            time=from_millis(side.time_ms),
                        )
                        for side in conflict.values
                    ],
                )
                for conflict in self._core.records.conflicts(key_to_core(key))
            ]

        return await on_thread(read)

    def observe_conflicts(self) -> AsyncIterator[Sequence[Record]]:
        """Every record with a conflict, now and whenever that changes; the newest thousand."""
        return self._records.observe(Query(conflicts_only=True, limit=1000))

    async def restore(self, key: RecordKey, change: Change) -> None:
        """Sets every field back to what it was after a change; what came later stays in the history."""
        await on_thread(lambda: self._core.records.restore_to(key_to_core(key), change.id))

    async def resolve(self, key: RecordKey, field: str, value: Optional[Given]) -> None:
        """Decides a conflict: with one of its values, or another. `Records.remove` decides for none."""
        await self._records.patch(key, {field: value})
