internal import BaridCore
import Dispatch
import Foundation

/// The core's objects until the store is closed. Nobody else keeps them, so that closing frees the file.
final class Core: @unchecked Sendable {
    private let lock = NSLock()
    private var open: BaridCore.FieldStore?

    init(_ store: BaridCore.FieldStore) {
        open = store
    }

    func store() throws -> BaridCore.FieldStore {
        try lock.withLock {
            guard let open else { throw FieldError.closed }
            return open
        }
    }

    func close() -> BaridCore.FieldStore? {
        lock.withLock {
            defer { open = nil }
            return open
        }
    }

    /// Runs a call that may wait for the disk or the network off whoever asks, with this library's errors.
    func call<T: Sendable>(_ call: @escaping @Sendable (BaridCore.FieldStore) throws -> T) async throws -> T {
        try await offMain { try call(try self.store()) }
    }
}

func offMain<T: Sendable>(_ call: @escaping @Sendable () throws -> T) async throws -> T {
    try Task.checkCancellation()
    return try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global(qos: .userInitiated).async {
            continuation.resume(with: Result { try call() }.mapError(FieldError.init))
        }
    }
}

extension Date {
    init(millis: Int64) {
        self.init(timeIntervalSince1970: Double(millis) / 1000)
    }

    var millis: Int64 {
        Int64((timeIntervalSince1970 * 1000).rounded())
    }
}
