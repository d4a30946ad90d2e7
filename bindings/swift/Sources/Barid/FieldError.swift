internal import BaridCore

/// What a call of this library throws, besides cancellation: a case for each thing that an app can do about
/// it. Nothing that was recorded before is lost by any of them.
public enum FieldError: Error, Equatable, Sendable {
    /// Another process has the database open. *Close it there.*
    case inUse
    /// The database is of a newer version of Barid. *Ask for the app to be updated.*
    case updateNeeded
    /// The database was damaged and kept under another name. *Call ``FieldStore/recover(damaged:into:)``.*
    case damaged(keptAs: String)
    /// The database's key is missing, another file's, or of no use to this build. *Fetch the right key; never
    /// delete the file.*
    case keyRefused(why: String)
    /// There is no space left on the disk. *Ask for some to be freed, and try again.*
    case noSpace
    /// An argument cannot be used as it is. *Correct the call: this is a mistake in the app.*
    case invalid(what: String)
    /// There is no such record here. *Show that it is gone.*
    case notFound
    /// The device belongs to no space yet. *Enrol it.*
    case notEnrolled
    /// An enrolment code is no code, too old, or was used. *Ask for another.*
    case codeRejected(why: String)
    /// The relay cannot be reached now. *Try again when there is a network.*
    case unreachable(why: String)
    /// The store is locked and shows nothing. *Ask to unlock it; recording goes on.*
    case locked
    /// There is work that nobody else is known to hold, so nothing was wiped. *Sync first, or say so.*
    case unsentWork(records: UInt64, attachments: UInt64)
    /// A pairing code is no code, too old, or was used. *Show a new one.*
    case pairingRejected(why: String)
    /// The connection to the other device broke; what came before is kept. *Exchange again.*
    case connectionLost(why: String)
    /// The file is no bundle, for somebody else, or of a newer version. *Choose another.*
    case bundleRejected(why: String)
    /// There is a file of this name already, and it was not changed. *Choose another name.*
    case fileExists
    /// A file cannot be read or written. *Look at the card or the stick, and try again.*
    case fileFailed(why: String)
    /// The bytes are no picture of a type that can be stripped. *Save it as JPEG, PNG or WebP.*
    case unsupportedPicture(why: String)
    /// An attachment is larger than one may be. *Make it smaller.*
    case tooLarge(why: String)
    /// The store was closed, or wiped. *Open it again.*
    case closed
    /// The database failed in a way that only its developers can look into. *Report it.*
    case storage(why: String)
    /// A mistake in this library. *Report it; the store goes on working.*
    case `internal`(why: String)

    /// Stable, for a translated message.
    public var code: String {
        switch self {
        case .inUse: "in_use"
        case .updateNeeded: "update_needed"
        case .damaged: "damaged"
        case .keyRefused: "key_refused"
        case .noSpace: "no_space"
        case .invalid: "invalid"
        case .notFound: "not_found"
        case .notEnrolled: "not_enrolled"
        case .codeRejected: "code_rejected"
        case .unreachable: "unreachable"
        case .locked: "locked"
        case .unsentWork: "unsent_work"
        case .pairingRejected: "pairing_rejected"
        case .connectionLost: "connection_lost"
        case .bundleRejected: "bundle_rejected"
        case .fileExists: "file_exists"
        case .fileFailed: "file_failed"
        case .unsupportedPicture: "unsupported_picture"
        case .tooLarge: "too_large"
        case .closed: "closed"
        case .storage: "storage"
        case .internal: "internal"
        }
    }

    init(_ error: any Error) {
        self = switch error {
        case let error as FieldError: error
        case let error as BaridError: FieldError(core: error)
        default: .internal(why: String(describing: error))
        }
    }

    private init(core: BaridError) {
        self = switch core {
        case .InUse: .inUse
        case .UpdateNeeded: .updateNeeded
        case let .Damaged(keptAs): .damaged(keptAs: keptAs)
        case let .KeyRefused(why): .keyRefused(why: why)
        case .NoSpace: .noSpace
        case let .Invalid(what): .invalid(what: what)
        case .NotFound: .notFound
        case .NotEnrolled: .notEnrolled
        case let .CodeRejected(why): .codeRejected(why: why)
        case let .Unreachable(why): .unreachable(why: why)
        case .Locked: .locked
        case let .UnsentWork(unsent): .unsentWork(records: unsent.records, attachments: unsent.attachments)
        case let .PairingRejected(why): .pairingRejected(why: why)
        case let .ConnectionLost(why, _): .connectionLost(why: why)
        case let .BundleRejected(why): .bundleRejected(why: why)
        case .FileExists: .fileExists
        case let .FileFailed(why): .fileFailed(why: why)
        case let .UnsupportedPicture(why): .unsupportedPicture(why: why)
        case let .TooLarge(why): .tooLarge(why: why)
        // Nobody but the store itself, when it is closed, ends a call whose caller was not cancelled.
        case .Cancelled, .Closed: .closed
        case let .Storage(why): .storage(why: why)
        }
    }
}
