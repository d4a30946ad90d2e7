"""Pictures of records. What a camera writes beside the picture is taken off before it is stored."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ._calls import Core, on_thread
from ._live import Live
from .records import RecordKey, key_to_core


class Where(enum.Enum):
    """Where an attachment is."""

    #: Here, and not whole with the relay.
    LOCAL = "local"
    #: Here, and with the relay.
    DELIVERED = "delivered"
    #: Not here; `Attachments.fetch` gets it.
    REMOTE = "remote"
    #: On its way here.
    FETCHING = "fetching"


@dataclass(frozen=True)
class Attachment:
    """A picture that belongs to a record, and where it is. It is named by its content."""

    space: str
    #: The hash of its bytes (BLAKE3), in hex.
    hash: str
    #: Its type: `image/jpeg`, `image/png` or `image/webp`.
    media: str
    #: Its length in bytes.
    length: int
    where: Where
    #: Bytes that the relay has of a local one, and that are here of one on its way.
    moved: int
    #: Why the relay does not take it, while that is so: a stable word. This device keeps it.
    refusal: Optional[str]
    #: The hash of its thumbnail, if it has one, and whether that is here.
    thumbnail: Optional[str]
    has_thumbnail: bool


class Attachments:
    """The attachments of one store. Thumbnails travel first; both go on where a link ended."""

    def __init__(self, core: Core, live: Live) -> None:
        self._core = core
        self._live = live

    async def attach(self, key: RecordKey, picture: bytes, thumbnail: Optional[bytes] = None) -> Attachment:
        """Attaches a picture to a record. It is durable when this returns; doing it again changes nothing.

        Without a thumbnail of the app's own, one is made.
        """
        attach = lambda: self._core.store.attachments().attach(key_to_core(key), picture, thumbnail)  # noqa: E731
        return _attachment(await on_thread(attach))

    async def detach(self, key: RecordKey, attachment: Attachment) -> None:
        """Takes an attachment off its record."""
        await on_thread(lambda: self._core.store.attachments().detach(key_to_core(key), attachment.hash))

    async def of(self, key: RecordKey) -> Sequence[Attachment]:
        """The attachments of a record."""
        return await on_thread(lambda: self._read(key))

    def observe(self, key: RecordKey) -> AsyncIterator[Sequence[Attachment]]:
        """The attachments of a record now, and whenever they, or where they are, change."""
        wanted = key_to_core(key)
        return self._live.watch(lambda changed: changed == wanted, lambda: self._read(key))

    async def open(self, attachment: Attachment, original: bool = False) -> Optional[bytes]:
        """The bytes of the thumbnail, or of the original; none if they are not here."""
        name = attachment.hash if original else attachment.thumbnail
        if name is None:
            return None
        return await on_thread(lambda: self._core.store.attachments().bytes(attachment.space, name))

    async def fetch(self, attachment: Attachment) -> None:
        """Gets the original as soon as there is a link; that survives the app's end."""
        await on_thread(lambda: self._core.store.attachments().fetch(attachment.space, attachment.hash))

    async def free(self) -> int:
        """Drops originals of which the relay has a backup, never others; returns the bytes freed."""
        return await on_thread(lambda: self._core.store.attachments().free())

    def _read(self, key: RecordKey) -> Sequence[Attachment]:
        return [_attachment(found) for found in self._core.store.attachments().of(key_to_core(key))]


def _attachment(found: Any) -> Attachment:
    where = found.whereabouts
    return Attachment(
        space=found.space,
        hash=found.hash,
        media=found.media,
        length=found.len,
        where=Where[type(where).__name__.rpartition(".")[2]],
        moved=getattr(where, "sent_len", getattr(where, "held_len", 0)),
        refusal=getattr(where, "refusal", None),
        thumbnail=found.thumbnail,
        has_thumbnail=found.has_thumbnail,
    )
