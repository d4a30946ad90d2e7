internal import BaridCore
import Foundation

/// Turns the core's callbacks, which come on its own threads, into sequences that read again.
final class Live: RecordObserver, @unchecked Sendable {
    private typealias Wake = AsyncStream<Void>.Continuation

    private let lock = NSLock()
    private var listeners: [UUID: (concerns: @Sendable (BaridCore.RecordKey) -> Bool, wake: Wake)] = [:]
    private var isClosed = false

    /// Called on the thread that committed, which must not wait.
    func changed(keys: [BaridCore.RecordKey]) {
        let told = lock.withLock { listeners.values.filter { keys.isEmpty || keys.contains(where: $0.concerns) } }
        told.forEach { $0.wake.yield() }
    }

    /// Ends every sequence.
    func close() {
        let told = lock.withLock {
            isClosed = true
            return Array(listeners.values)
        }
        told.forEach { $0.wake.finish() }
    }

    /// What is read, now and after each change that concerns it and makes it another. Who iterates slowly
    /// skips what lay between. While reading fails, what was told last stands.
    func watch<T: Equatable & Sendable>(
        _ concerns: @escaping @Sendable (BaridCore.RecordKey) -> Bool,
        read: @escaping @Sendable () async throws -> T
    ) -> AsyncStream<T> {
        let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let id = UUID()
        let isOpen = lock.withLock {
            if !isClosed { listeners[id] = (concerns, wake) }
            return !isClosed
        }
        if isOpen { wake.yield() } else { wake.finish() }
        return AsyncStream(bufferingPolicy: .bufferingNewest(1)) { told in
            let reading = Task {
                var last: T?
                for await _ in wakes {
                    guard let now = try? await read(), now != last else { continue }
                    last = now
                    told.yield(now)
                }
                told.finish()
            }
            told.onTermination = { _ in
                reading.cancel()
                self.lock.withLock { self.listeners[id] = nil }
            }
        }
    }
}
