internal import BaridCore
import Foundation

/// What one field of a record holds. Literals are values: `["title": "…", "persons_total": 7]`.
public enum Value: Equatable, Sendable {
    /// Known to be empty.
    case null
    /// Yes or no.
    case flag(Bool)
    /// A whole number; a time is one, in milliseconds since 1970.
    case int(Int64)
    /// A finite number with a fraction.
    case number(Double)
    /// Text.
    case text(String)
    /// Bytes.
    case bytes(Data)
    /// A list, merged as a whole.
    case items([Value])
    /// A map, merged as a whole.
    case entries([String: Value])

    /// A time, to the millisecond.
    public static func time(_ time: Date) -> Value {
        .int(time.millis)
    }

    init(_ value: FieldValue) {
        self = switch value {
        case .null: .null
        case let .flag(value): .flag(value)
        case let .int(value): .int(value)
        case let .number(value): .number(value)
        case let .text(value): .text(value)
        case let .bytes(value): .bytes(value)
        case let .items(value): .items(value.map(Value.init))
        case let .entries(value): .entries(value.mapValues(Value.init))
        }
    }

    var core: FieldValue {
        switch self {
        case .null: .null
        case let .flag(value): .flag(value: value)
        case let .int(value): .int(value: value)
        case let .number(value): .number(value: value)
        case let .text(value): .text(value: value)
        case let .bytes(value): .bytes(value: value)
        case let .items(value): .items(value: value.map(\.core))
        case let .entries(value): .entries(value: value.mapValues(\.core))
        }
    }
}

extension Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral
{
    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int64) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .flag(value) }
}

extension [String: Value] {
    /// The text of a field; none if it holds something else.
    public func text(_ name: String) -> String? {
        if case let .text(value) = self[name] { value } else { nil }
    }

    /// The whole number of a field; none if it holds something else.
    public func int(_ name: String) -> Int64? {
        if case let .int(value) = self[name] { value } else { nil }
    }

    /// The time of a field; none if it holds no whole number.
    public func time(_ name: String) -> Date? {
        int(name).map(Date.init(millis:))
    }
}
