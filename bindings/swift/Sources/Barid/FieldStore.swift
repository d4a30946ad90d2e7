internal import BaridCore
import Foundation

/// What a store is opened with. On a phone, keep the secret and the key in the Keychain, for this device only
/// (`kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly`), and the database out of backups.
public struct StoreConfig: Sendable {
    /// The database file, made if it is not there.
    public var path: URL
    /// The device's secret: 32 bytes from ``FieldStore/newSecret()``, the same at every opening.
    public var secret: Data
    /// The app's own kinds of records; patrols, events and alerts are known without.
    public var kinds: [KindDeclaration] = []
    /// For how long, in milliseconds, the store shows what it holds without having met its relay.
    public var leaseMilliseconds: UInt64?
    /// The key of an encrypted database: 32 bytes. Needs a library built with encryption.
    public var databaseKey: Data?

    public init(path: URL, secret: Data) {
        (self.path, self.secret) = (path, secret)
    }

    var core: BaridCore.StoreConfig {
        .init(path: path.path, seed: secret, kinds: kinds.map(\.core), leaseMs: leaseMilliseconds, databaseKey: databaseKey)
    }
}

/// An app's own kind of record. What is not declared may be recorded all the same.
public struct KindDeclaration: Sendable {
    public var name: String
    /// Fields captured once, when the record is made: who, when, where.
    public var captured: [String] = []
    /// Fields that people edit.
    public var editable: [String] = []
    public var time: String?
    public var latitude: String?
    public var longitude: String?
    public var state: String?
    /// The fields that are searched; none given means every text.
    public var searched: [String]?

    public init(name: String) {
        self.name = name
    }

    var core: BaridCore.KindDeclaration {
        .init(
            name: name, captured: captured, editable: editable, time: time, latitude: latitude,
            longitude: longitude, state: state, searched: searched
        )
    }
}

/// Where a device belongs: its relay's address, its organisation, its spaces with the default first.
public struct Enrolment: Equatable, Sendable {
    public let url: String
    public let organisation: String
    public let spaces: [String]

    init(_ enrolment: BaridCore.Enrolment) {
        (url, organisation, spaces) = (enrolment.url, enrolment.organisation, enrolment.spaces)
    }
}

/// What came back from a damaged database.
public struct RecoverReport: Equatable, Sendable {
    /// Intact batches.
    public let batches: UInt64
    /// Changes that no relay had, recorded again.
    public let changes: UInt64
    /// Intact changes that the new store refuses.
    public let failed: UInt64
}

/// A device's records, on the device: what it recorded and what it knows of others, with or without a network.
///
/// Every call does its work off whoever calls. What fails throws a ``FieldError``, which says what the app can
/// do; sequences never throw.
public final class FieldStore: @unchecked Sendable {
    private let core: Core
    private let live = Live()
    private let lock = NSLock()
    private var enrolled: Enrolment?
    private var watching: Subscription?

    /// This device's public id, in hex.
    public let deviceId: String
    /// Recording and reading.
    public let records: Records
    /// What was done to a record, and conflicts.
    public let history: History
    /// Syncing with the relay.
    public private(set) var sync: Sync!

    private init(_ store: BaridCore.FieldStore) throws {
        core = Core(store)
        enrolled = try store.enrolment().map(Enrolment.init)
        deviceId = store.deviceId()
        records = Records(core, live)
        history = History(core, records)
        watching = store.records().observe(observer: live)
        sync = Sync(core, isEnrolled: { [weak self] in self?.enrolment != nil })
    }

    /// Opens the database, or makes it. Needs no network, now or ever.
    public static func open(_ config: StoreConfig) async throws -> FieldStore {
        try await offMain { try FieldStore(BaridCore.FieldStore.open(config: config.core)) }
    }

    /// Brings everything intact of a damaged database file into a new store; the file stays.
    public static func recover(damaged: URL, into config: StoreConfig) async throws -> RecoverReport {
        try await offMain {
            let report = try BaridCore.recover(damaged: damaged.path, into: config.core)
            return RecoverReport(batches: report.batches, changes: report.changes, failed: report.failed)
        }
    }

    /// Makes the secret of a new device: 32 bytes.
    public static func newSecret() -> Data {
        generateSeed()
    }

    /// Where the device belongs, once it is enrolled.
    public var enrolment: Enrolment? {
        lock.withLock { enrolled }
    }

    /// Enrols with the relay that made the code; needs the network, once. The label is what people call the
    /// device, as `Patrol 3`.
    @discardableResult
    public func enrol(code: String, label: String) async throws -> Enrolment {
        let enrolment = try await core.call { Enrolment(try $0.enrol(code: code, label: label)) }
        lock.withLock { enrolled = enrolment }
        try await sync.begin()
        return enrolment
    }

    /// Ends the sync and lets go of the database. What was recorded is on the disk already.
    public func close() async {
        guard let store = core.close() else { return }
        lock.withLock { watching }?.cancel()
        sync.close()
        try? await offMain { store.sync().stop() }
        live.close()
    }
}
