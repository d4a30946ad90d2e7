package barid

import java.io.File

/** What a wipe does about work that nobody else is known to hold. */
public sealed interface WipeMode {
    /** Refuses with [FieldException.UnsentWork], and deletes nothing. */
    public data object RefuseIfUnsent : WipeMode

    /**
     * Writes it into a new bundle first: for the relay, or, if whoever revoked this device asks for the
     * wipe, for its organisation. Refuses if there is unsent work that no bundle holds.
     */
    public data class ExportFirst(val bundle: File) : WipeMode

    /** Deletes it. Ask the user first, and say how much it is. */
    public data object Force : WipeMode
}

/** What a wipe deleted. */
public data class WipeReport internal constructor(
    /** What of it nobody else was known to hold. */
    val unsent: Unsent,
    /** What went into the bundle, if one was asked for. */
    val exported: ExportReport?,
)
