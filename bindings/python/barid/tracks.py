"""The tracks of patrols. They cost some five bytes a position, and travel after everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Optional

from . import _ffi
from ._calls import Core, on_thread
from .records import Place, RecordKey, key_to_core
from .values import from_millis, to_millis


@dataclass(frozen=True)
class Position:
    """One position of a track. It does not print where."""

    time: datetime
    place: Place
    #: Radius of 68 % confidence in metres; 0 if the receiver did not say.
    accuracy_metres: int = 0


@dataclass(frozen=True)
class Gap:
    """A time without positions, so that silence is never taken for standing still."""

    since: datetime
    until: datetime
    #: Why, a word: `no_fix`, `paused`, `battery`, `killed`, `unknown`.
    reason: str


@dataclass(frozen=True)
class Track:
    """A piece of a patrol's track, taken by one device."""

    device: str
    organisation: Optional[str]
    #: The earliest first.
    positions: Sequence[Position] = field(repr=False)
    gaps: Sequence[Gap] = field(repr=False)


class Tracks:
    """The tracks of one store."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def add(self, patrol: RecordKey, positions: Sequence[Position], gaps: Sequence[Gap] = ()) -> None:
        """Records a piece of the track of a patrol: up to 1,000 positions, the earliest first."""
        core_positions = [
            _ffi.Position(
                time_ms=to_millis(position.time),
                latitude=position.place.latitude,
                longitude=position.place.longitude,
                accuracy_m=position.accuracy_metres,
            )
            for position in positions
        ]
        core_gaps = [
            _ffi.Gap(from_ms=to_millis(gap.since), to_ms=to_millis(gap.until), reason=gap.reason) for gap in gaps
        ]
        await on_thread(lambda: self._core.store.tracks().add(key_to_core(patrol), core_positions, core_gaps))

    async def of(self, patrol: RecordKey) -> Sequence[Track]:
        """The pieces of the track of a patrol that are here, the earliest first."""

        def read() -> Sequence[Track]:
            return [
                Track(
                    device=track.device,
                    organisation=track.organisation,
                    positions=[
                        Position(from_millis(p.time_ms), Place(p.latitude, p.longitude), p.accuracy_m)
                        for p in track.positions
                    ],
                    gaps=[Gap(from_millis(g.from_ms), from_millis(g.to_ms), g.reason) for g in track.gaps],
                )
                for track in self._core.store.tracks().of(key_to_core(patrol))
            ]

        return await on_thread(read)
