internal import BaridCore
import Foundation

/// Which record: its space in hex, its kind as `event`, its id as a UUID.
public struct RecordKey: Hashable, Sendable {
    public let space: String
    public let kind: String
    public let id: String

    public init(space: String, kind: String, id: String) {
        (self.space, self.kind, self.id) = (space, kind, id)
    }

    init(_ key: BaridCore.RecordKey) {
        self.init(space: key.space, kind: key.kind, id: key.id)
    }

    var core: BaridCore.RecordKey {
        .init(space: space, kind: kind, id: id)
    }
}

/// A place, in degrees (WGS 84). It does not print itself, so that no position reaches a log.
public struct Place: Equatable, Sendable, CustomStringConvertible {
    public let latitude: Double
    public let longitude: Double

    public init(latitude: Double, longitude: Double) {
        (self.latitude, self.longitude) = (latitude, longitude)
    }

    public var description: String { "Place(…)" }
}

/// A record as it stands on this device. It prints its key, and never what it says.
public struct Record: Equatable, Sendable, CustomStringConvertible {
    public let key: RecordKey
    /// Every field, those that no kind declares too.
    public let fields: [String: Value]
    /// When it happened; when it was made, if its kind has no time.
    public let time: Date
    /// Where it happened, if that is known.
    public let place: Place?
    /// Its state, if its kind has one.
    public let state: String?
    /// The organisation whose device made it, in hex, if that is known here.
    public let organisation: String?
    /// The device that made it.
    public let createdBy: String
    /// When it was made, by that device's clock.
    public let createdAt: Date
    /// When it was last changed, by the clock of whoever did.
    public let updatedAt: Date
    public let isWithdrawn: Bool
    /// Fields with several values that nobody has decided between; see ``History/conflicts(_:)``.
    public let conflicts: Int
    /// Whether the relay has acknowledged everything that this device changed in it.
    public let isDelivered: Bool

    public var description: String { "Record(\(key.kind) \(key.id))" }

    init(_ record: BaridCore.Record) {
        key = RecordKey(record.key)
        fields = record.fields.mapValues(Value.init)
        time = Date(millis: record.timeMs)
        place = record.place.map { Place(latitude: $0.latitude, longitude: $0.longitude) }
        state = record.state
        organisation = record.organisation
        createdBy = record.createdBy
        createdAt = Date(millis: record.createdMs)
        updatedAt = Date(millis: record.updatedMs)
        isWithdrawn = record.withdrawn
        conflicts = Int(record.conflicts)
        isDelivered = record.delivered
    }
}

/// A page of records, the newest first.
public struct RecordPage: Equatable, Sendable {
    public let records: [Record]
    /// Give it as ``Query/after`` for the next page; none when this is the last.
    public let next: String?
}

/// What to look for; what is not given is not asked.
public struct Query: Sendable {
    public var space: String?
    public var kind: String?
    /// From this time on.
    public var from: Date?
    /// Before this time.
    public var to: Date?
    /// Within this box; both corners, or it is not asked.
    public var southWest: Place?
    public var northEast: Place?
    public var state: String?
    public var organisation: String?
    /// With these words, with or without article, however the hamza was typed.
    public var text: String?
    public var includeWithdrawn = false
    public var conflictsOnly = false
    /// So many at most, 1 to 1,000.
    public var limit = 100
    /// The page after this one: ``RecordPage/next`` of the page before.
    public var after: String?

    public init(kind: String? = nil, text: String? = nil) {
        (self.kind, self.text) = (kind, text)
    }

    func core() throws -> BaridCore.Query {
        guard (1...1000).contains(limit) else {
            throw FieldError.invalid(what: "the limit of a query is 1 to 1,000")
        }
        let corner = { (place: Place) in BaridCore.Place(latitude: place.latitude, longitude: place.longitude) }
        return BaridCore.Query(
            space: space, kind: kind, fromMs: from?.millis, toMs: to?.millis, southWest: southWest.map(corner),
            northEast: northEast.map(corner), state: state, organisation: organisation, text: text,
            includeWithdrawn: includeWithdrawn, conflictsOnly: conflictsOnly, limit: UInt32(limit), after: after
        )
    }
}
