internal import BaridCore
import Foundation

/// Recording and reading. What is recorded is durable when the call returns, network or not.
public final class Records: Sendable {
    private let core: Core
    private let live: Live

    init(_ core: Core, _ live: Live) {
        (self.core, self.live) = (core, live)
    }

    /// Records something new. Without a space, in the first of the enrolment.
    @discardableResult
    public func put(_ kind: String, _ fields: [String: Value], space: String? = nil) async throws -> RecordKey {
        let values = fields.mapValues(\.core)
        return try await core.call { RecordKey(try $0.records().put(kind: kind, fields: values, space: space)) }
    }

    /// Changes some fields of a record; `nil` removes one. Setting a field that has a conflict decides it.
    public func patch(_ key: RecordKey, _ changes: [String: Value?]) async throws {
        let values = changes.mapValues { $0?.core }
        try await core.call { try $0.records().patch(key: key.core, fields: values) }
    }

    /// Withdraws a record: it is shown no more, and its history stays.
    public func withdraw(_ key: RecordKey) async throws {
        try await core.call { try $0.records().withdraw(key: key.core) }
    }

    /// A record, if it is here; a withdrawn one too.
    public func get(_ key: RecordKey) async throws -> Record? {
        try await core.call { try $0.records().get(key: key.core).map(Record.init) }
    }

    /// Records that match, the newest first.
    public func query(_ query: Query = Query()) async throws -> RecordPage {
        try await core.call {
            let page = try $0.records().query(query: try query.core())
            return RecordPage(records: page.records.map(Record.init), next: page.next)
        }
    }

    /// Records that match now, and whenever they change. It never throws, and ends when the store is closed.
    public func observe(_ query: Query = Query()) -> AsyncStream<[Record]> {
        let concerns = { @Sendable (key: BaridCore.RecordKey) in
            (query.kind ?? key.kind) == key.kind && (query.space ?? key.space) == key.space
        }
        return live.watch(concerns) { try await self.query(query).records }
    }

    /// A record now, and whenever it changes; none while it is not here.
    public func observe(_ key: RecordKey) -> AsyncStream<Record?> {
        live.watch({ $0 == key.core }) { try await self.get(key) }
    }
}
