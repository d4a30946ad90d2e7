internal import BaridCore
import Foundation

/// One change of a record.
public struct Change: Equatable, Sendable {
    /// Its hash, in hex.
    public let id: String
    /// The device that made it.
    public let device: String
    /// When, by that device's clock.
    public let time: Date
    /// The fields it set; `nil` where it removed one.
    public let sets: [String: Value?]
}

/// A field with values written without knowing of one another. All are kept until somebody decides.
public struct Conflict: Equatable, Sendable {
    /// One of the values.
    public struct Side: Equatable, Sendable {
        /// The value; none if this side removed the field.
        public let value: Value?
        /// The device that wrote it.
        public let device: String
        /// When, by that device's clock.
        public let time: Date
    }

    public let field: String
    /// The values, the one that is shown first.
    public let sides: [Side]
}

/// What was done to a record, and what nobody has decided between.
public final class History: Sendable {
    private let core: Core
    private let records: Records

    init(_ core: Core, _ records: Records) {
        (self.core, self.records) = (core, records)
    }

    /// Every change of a record, the oldest first.
    public func of(_ key: RecordKey) async throws -> [Change] {
        try await core.call { store in
            try store.records().history(key: key.core).map { entry in
                let sets = entry.sets.map { ($0.field, $0.value.map(Value.init)) }
                return Change(
                    id: entry.change, device: entry.device, time: Date(millis: entry.timeMs),
                    sets: Dictionary(sets, uniquingKeysWith: { $1 })
                )
            }
        }
    }

    /// The fields of a record that have conflicts.
    public func conflicts(_ key: RecordKey) async throws -> [Conflict] {
        try await core.call { store in
            try store.records().conflicts(key: key.core).map { conflict in
                let sides = conflict.values.map {
                    Conflict.Side(value: $0.value.map(Value.init), device: $0.device, time: Date(millis: $0.timeMs))
                }
                return Conflict(field: conflict.field, sides: sides)
            }
        }
    }

    /// Every record with a conflict, now and whenever that changes; the newest thousand.
    public func observeConflicts() -> AsyncStream<[Record]> {
        var query = Query()
        query.conflictsOnly = true
        query.limit = 1000
        return records.observe(query)
    }

    /// Decides a conflict: with one of its values, or another; `nil` removes the field.
    public func resolve(_ key: RecordKey, field: String, with value: Value?) async throws {
        try await records.patch(key, [field: value])
    }
}
