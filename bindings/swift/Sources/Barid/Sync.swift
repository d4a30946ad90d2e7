internal import BaridCore
import Foundation

/// What the sync is doing.
public enum Phase: Sendable {
    /// The device is not enrolled: it records, and has no relay to send to.
    case notEnrolled
    /// Not started, or paused by the app.
    case paused
    /// No link; the next try is at ``SyncStatus/nextTry``.
    case waiting
    /// A link is being made.
    case connecting
    /// Something is on its way.
    case syncing
    /// All records known here and there are exchanged and acknowledged.
    case upToDate
}

/// How far one direction has come on this link, in batches and bytes; in all where that is known.
public struct Progress: Equatable, Sendable {
    public let done: UInt64
    public let total: UInt64?
    public let doneBytes: UInt64
    public let totalBytes: UInt64?

    init(_ progress: BaridCore.Progress) {
        (done, total) = (progress.done, progress.total)
        (doneBytes, totalBytes) = (progress.doneLen, progress.totalLen)
    }
}

/// Everything that a screen may want to say about the sync.
public struct SyncStatus: Equatable, Sendable {
    public let phase: Phase
    /// Towards the relay; done means acknowledged.
    public let up: Progress
    /// From the relay; done means stored.
    public let down: Progress
    /// Records with changes that no relay has acknowledged.
    public let unsentRecords: UInt64
    /// Attachments that no relay has acknowledged, and their bytes.
    public let unsentAttachments: UInt64
    public let unsentAttachmentBytes: UInt64
    /// Whether the relay says that this device was revoked, and whether whoever did asks it to be wiped.
    public let isRevoked: Bool
    public let isWipeAsked: Bool
    /// Whether the store is locked.
    public let isLocked: Bool
    /// The relay's address, while there is a link.
    public let via: String?
    /// Why the relay does not take something of this device's, while that is so. The device keeps it.
    public let turnedDown: String?
    /// When everything was last exchanged.
    public let lastSuccess: Date?
    /// When the next link is tried, while waiting.
    public let nextTry: Date?
    /// Why there is no link, a stable word: `unreachable`, `not_our_relay`, `not_a_relay`, `cut`, `closed` or
    /// `storage`.
    public let error: String?

    /// Whether everything was ever exchanged.
    public var hasSyncedOnce: Bool { lastSuccess != nil }

    init(_ status: BaridCore.SyncStatus, isEnrolled: Bool) {
        phase = switch status.phase {
        case .paused: isEnrolled ? .paused : .notEnrolled
        case .waiting: .waiting
        case .connecting: .connecting
        case .syncing: .syncing
        case .upToDate: .upToDate
        }
        (up, down) = (Progress(status.up), Progress(status.down))
        unsentRecords = status.unsentRecords
        (unsentAttachments, unsentAttachmentBytes) = (status.unsentAttachments, status.unsentAttachmentLen)
        (isRevoked, isWipeAsked, isLocked) = (status.isRevoked, status.isWipeAsked, status.isLocked)
        via = status.via
        turnedDown = status.turnedDown
        lastSuccess = status.lastSuccessMs.map(Date.init(millis:))
        nextTry = status.nextTryMs.map(Date.init(millis:))
        error = switch status.error {
        case nil: nil
        case .unreachable: "unreachable"
        case .certificate: "not_our_relay"
        case .notARelay: "not_a_relay"
        case .cut: "cut"
        case .closed: "closed"
        case .storage: "storage"
        }
    }
}

/// Syncing with the relay, in the background. Nothing waits for it: what is shown is what is here.
public final class Sync: @unchecked Sendable {
    private let core: Core
    private let isEnrolled: @Sendable () -> Bool
    private let lock = NSLock()
    private var isWanted = false
    private var watching: Subscription?
    private var listeners: [UUID: AsyncStream<SyncStatus>.Continuation] = [:]

    init(_ core: Core, isEnrolled: @escaping @Sendable () -> Bool) {
        (self.core, self.isEnrolled) = (core, isEnrolled)
    }

    /// What the sync is doing now.
    public func status() async throws -> SyncStatus {
        let isEnrolled = isEnrolled()
        return try await core.call { SyncStatus(try $0.sync().status(), isEnrolled: isEnrolled) }
    }

    /// The status whenever it changes; the last one at once.
    public var statuses: AsyncStream<SyncStatus> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { told in
            let id = UUID()
            lock.withLock { listeners[id] = told }
            told.onTermination = { _ in self.lock.withLock { self.listeners[id] = nil } }
            Task { if let now = try? await self.status() { told.yield(now) } }
        }
    }

    /// Syncs from now on, whenever there is a network. Before the enrolment it waits for that.
    public func start() async throws {
        lock.withLock { isWanted = true }
        try await begin()
    }

    /// Tries now instead of waiting for the next try: the user wants it, or there is a network again.
    public func request() async throws {
        try await core.call { $0.sync().request() }
    }

    /// Makes no link until the next ``start()``; recording goes on.
    public func pause() async throws {
        lock.withLock { isWanted = false }
        try await core.call { $0.sync().pause() }
    }

    /// Waits until every record here is acknowledged by the relay; false if that took longer. It does not
    /// start the sync.
    public func awaitSynced(timeout: Duration) async throws -> Bool {
        let end = ContinuousClock.now + timeout
        while try await !core.call({ try $0.sync().waitUntilSynced(limitMs: 0) }) {
            if ContinuousClock.now >= end { return false }
            try await Task.sleep(for: .milliseconds(50))
        }
        return true
    }

    func begin() async throws {
        guard isEnrolled(), lock.withLock({ isWanted }) else { return }
        let observer = Observer { [weak self] status in self?.tell(SyncStatus(status, isEnrolled: true)) }
        let isWatched = lock.withLock { watching != nil }
        let watching = try await core.call { store in
            try store.sync().start()
            return isWatched ? nil : try store.sync().observe(observer: observer)
        }
        if let watching { lock.withLock { self.watching = watching } }
    }

    private func tell(_ status: SyncStatus) {
        lock.withLock { Array(listeners.values) }.forEach { $0.yield(status) }
    }

    func close() {
        let (watching, told) = lock.withLock {
            defer { self.watching = nil }
            return (self.watching, Array(listeners.values))
        }
        watching?.cancel()
        told.forEach { $0.finish() }
    }

    private final class Observer: StatusObserver {
        private let tell: @Sendable (BaridCore.SyncStatus) -> Void

        init(_ tell: @escaping @Sendable (BaridCore.SyncStatus) -> Void) {
            self.tell = tell
        }

        func status(status: BaridCore.SyncStatus) {
            tell(status)
        }
    }
}
