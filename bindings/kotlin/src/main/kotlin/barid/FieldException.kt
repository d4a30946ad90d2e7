package barid

/**
 * The one exception that a call of this library throws, besides cancellation: a subclass for each
 * thing that an app can do about it. Nothing that was recorded before is lost by any of them.
 *
 * @property code stable, for a translated message; the [message] is English and for developers.
 */
public sealed class FieldException(
    public val code: String,
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause) {
    /** Another process has the database open. *Close it there.* */
    public class InUse internal constructor(cause: Throwable? = null) :
        FieldException("in_use", "the database is already open elsewhere", cause)

    /** The database is of a newer version of Barid. *Ask for the app to be updated.* */
    public class UpdateNeeded internal constructor(cause: Throwable? = null) :
        FieldException("update_needed", "the database is of a newer version of Barid", cause)

    /**
     * The database was damaged and kept under another name. *Call [FieldStore.recover] with [keptAs].*
     *
     * @property keptAs the path of the damaged file.
     */
    public class Damaged internal constructor(public val keptAs: String, cause: Throwable? = null) :
        FieldException("damaged", "the database was damaged; it is kept as $keptAs", cause)

    /**
     * The database's key is missing, is another file's, or cannot be used by this library. The file is whole
     * and must not be deleted. *Fetch the right key.*
     */
    public class KeyRefused internal constructor(why: String, cause: Throwable? = null) :
        FieldException("key_refused", "the database does not open with this key: $why", cause)

    /** There is no space left on the disk. *Ask for some to be freed, and try again.* */
    public class NoSpace internal constructor(cause: Throwable? = null) :
        FieldException("no_space", "there is no space left on the disk", cause)

    /** An argument cannot be used as it is. *Correct the call: this is a mistake in the app.* */
    public class Invalid internal constructor(what: String, cause: Throwable? = null) :
        FieldException("invalid", what, cause)

    /** There is no such record here. *Show that it is gone.* */
    public class NotFound internal constructor(cause: Throwable? = null) :
        FieldException("not_found", "there is no such record", cause)

    /** The device belongs to no space yet. *Enrol it.* */
    public class NotEnrolled internal constructor(cause: Throwable? = null) :
        FieldException("not_enrolled", "the device is not enrolled", cause)

    /** An enrolment code is no code, too old, or was used. *Ask for another.* */
    public class CodeRejected internal constructor(why: String, cause: Throwable? = null) :
        FieldException("code_rejected", "the code was not accepted: $why", cause)

    /** The relay cannot be reached now. *Try again when there is a network.* */
    public class Unreachable internal constructor(why: String, cause: Throwable? = null) :
        FieldException("unreachable", "the relay cannot be reached: $why", cause)

    /** The store is locked and shows nothing. *Ask to [Lock.unlock]; recording goes on.* */
    public class Locked internal constructor(cause: Throwable? = null) :
        FieldException("locked", "the store is locked: it records, and shows nothing", cause)

    /**
     * There is work here that nobody else is known to hold, so nothing was wiped. *Sync first, or say
     * so and wipe with [WipeMode.ExportFirst] or [WipeMode.Force].*
     *
     * @property unsent how much there is.
     */
    public class UnsentWork internal constructor(public val unsent: Unsent, cause: Throwable? = null) :
        FieldException("unsent_work", "there is work that nobody else is known to hold: $unsent", cause)

    /** The pairing code is no code, too old, or was used. *Show a new one, and read it again.* */
    public class PairingRejected internal constructor(why: String, cause: Throwable? = null) :
        FieldException("pairing_rejected", "the pairing code was not accepted: $why", cause)

    /**
     * The connection to the other device broke. What came before is kept. *Connect, and exchange
     * again: it goes on where it ended.*
     *
     * @property report what was given and taken until then.
     */
    public class ConnectionLost internal constructor(
        public val report: ExchangeReport,
        why: String,
        cause: Throwable? = null,
    ) : FieldException("connection_lost", "the connection to the other device was lost: $why", cause)

    /** The file is not a bundle, for somebody else, or of a newer version. *Choose another file.* */
    public class BundleRejected internal constructor(why: String, cause: Throwable? = null) :
        FieldException("bundle_rejected", why, cause)

    /** There is a file of this name already, and it was not changed. *Choose another name.* */
    public class FileExists internal constructor(cause: Throwable? = null) :
        FieldException("file_exists", "there is a file of this name already; it was not changed", cause)

    /** A file cannot be read or written. *Look at the card or the stick, and try again.* */
    public class FileFailed internal constructor(why: String, cause: Throwable? = null) :
        FieldException("file_failed", why, cause)

    /**
     * The bytes are not a picture of a type that can be stripped of what it says of its maker. *Save it
     * as JPEG, PNG or WebP.*
     */
    public class UnsupportedPicture internal constructor(why: String, cause: Throwable? = null) :
        FieldException("unsupported_picture", why, cause)

    /** An attachment is larger than one may be. *Make it smaller.* */
    public class TooLarge internal constructor(why: String, cause: Throwable? = null) :
        FieldException("too_large", why, cause)

    /** The store was closed, or wiped. *Open it again.* */
    public class Closed internal constructor(cause: Throwable? = null) :
        FieldException("closed", "the store is closed", cause)

    /** The database failed in a way that only its developers can look into. *Report it.* */
    public class Storage internal constructor(why: String, cause: Throwable? = null) :
        FieldException("storage", "the database failed: $why", cause)

    /** A mistake in this library. *Report it; the store goes on working.* */
    public class Internal internal constructor(why: String, cause: Throwable? = null) :
        FieldException("internal", why, cause)
}
