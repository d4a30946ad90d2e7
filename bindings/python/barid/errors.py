"""What can go wrong, as what an app can do about it."""

from __future__ import annotations

from typing import Any, ClassVar


class FieldError(Exception):
    """The one exception that this library raises: a subclass for each thing an app can do about it.

    Nothing that was recorded before is lost by any of them. `code` is stable, for a translated message;
    the text is English and for developers.
    """

    code: ClassVar[str] = "internal"


class InUse(FieldError):
    """Another process has the database open. Close it there."""

    code = "in_use"


class UpdateNeeded(FieldError):
    """The database is of a newer version of Barid. Ask for the app to be updated."""

    code = "update_needed"


class Damaged(FieldError):
    """The database was damaged and kept as `kept_as`. Call `FieldStore.recover` with it."""

    code = "damaged"

    def __init__(self, text: str, kept_as: str) -> None:
        super().__init__(text)
        self.kept_as = kept_as


class KeyRefused(FieldError):
    """The database's key is missing, is another file's, or cannot be used by this build.

    Fetch the right key from where it is kept. Never delete the file: it is whole.
    """

    code = "key_refused"


class NoSpace(FieldError):
    """There is no space left on the disk. Ask for some to be freed, and try again."""

    code = "no_space"


class Invalid(FieldError):
    """An argument cannot be used as it is. Correct the call: this is a mistake in the app."""

    code = "invalid"


class NotFound(FieldError):
    """There is no such record here. Show that it is gone."""

    code = "not_found"


class NotEnrolled(FieldError):
    """The device belongs to no space yet. Enrol it."""

    code = "not_enrolled"


class CodeRejected(FieldError):
    """An enrolment code is no code, too old, or was used. Ask for another."""

    code = "code_rejected"


class Unreachable(FieldError):
    """The relay cannot be reached now. Try again when there is a network."""

    code = "unreachable"


class Locked(FieldError):
    """The store is locked and shows nothing. Ask to unlock it; recording goes on."""

    code = "locked"


class UnsentWork(FieldError):
    """There is work that nobody else is known to hold, so nothing was wiped; `unsent` says how much.

    Sync first, or say so and wipe with `export_first` or `force`.
    """

    code = "unsent_work"

    def __init__(self, text: str, unsent: Any) -> None:
        super().__init__(text)
        self.unsent = unsent


class PairingRejected(FieldError):
    """The pairing code is no code, too old, or was used. Show a new one, and read it again."""

    code = "pairing_rejected"


class ConnectionLost(FieldError):
    """The connection to the other device broke; what came before is kept, and `report` says what.

    Connect, and exchange again: it goes on where it ended.
    """

    code = "connection_lost"

    def __init__(self, text: str, report: Any) -> None:
        super().__init__(text)
        self.report = report


class BundleRejected(FieldError):
    """The file is not a bundle, for somebody else, or of a newer version. Choose another file."""

    code = "bundle_rejected"


class FileExists(FieldError):
    """There is a file of this name already, and it was not changed. Choose another name."""

    code = "file_exists"


class FileFailed(FieldError):
    """A file cannot be read or written. Look at the card or the stick, and try again."""

    code = "file_failed"


class UnsupportedPicture(FieldError):
    """The bytes are no picture of a type that can be stripped. Save it as JPEG, PNG or WebP."""

    code = "unsupported_picture"


class TooLarge(FieldError):
    """An attachment is larger than one may be. Make it smaller."""

    code = "too_large"


class Closed(FieldError):
    """The store was closed. Open it again."""

    code = "closed"


class Storage(FieldError):
    """The database failed in a way that only its developers can look into. Report it."""

    code = "storage"


class Internal(FieldError):
    """A mistake in this library. Report it; the store goes on working."""

    code = "internal"
