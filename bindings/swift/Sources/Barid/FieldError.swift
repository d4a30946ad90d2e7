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
    /// The store was closed. *Open it again.*
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
        case let .Storage(why): .storage(why: why)
        }
    }
}
