"""The package against the real library and a real relay."""

from __future__ import annotations

import asyncio
import gc
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import TypeVar

import barid
from barid import FieldStore, Query, StoreConfig, _ffi

T = TypeVar("T")

TOP = pathlib.Path(__file__).resolve().parents[3]
QUICKSTART = TOP / "mobile-examples" / "quickstart" / "python" / "quickstart.py"
BARID = os.environ["BARID"]


class Relay:
    """The built `barid` in a process of its own."""

    def __init__(self, folder: str) -> None:
        self.data = os.path.join(folder, "relay")
        password = pathlib.Path(folder, "password")
        password.write_text("a long enough password 7600")
        run("init", "--data", self.data, "--organisation-en", "Border Guard", "--organisation-ar", "حرس الحدود",
            "--account", "duty", "--password-file", str(password))
        self.process = subprocess.Popen(
            [BARID, "serve", "--data", self.data, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.output = self.process.stdout
        if not any("listening on" in line for line in iter(self.output.readline, "")):
            raise RuntimeError("the relay did not start")
        threading.Thread(target=self.output.read, daemon=True).start()

    def code(self, label: str) -> str:
        printed = run("enrol", "--data", self.data, "--organisation", "Border Guard", "--label", label)
        return next(word for word in printed.split() if word.startswith("BARID1-"))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(15)
        self.output.close()


def run(*words: str) -> str:
    return subprocess.run([BARID, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def picture(width: int = 64) -> bytes:
    """A PNG that says beside the picture where it was taken."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(width)) for y in range(width))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, width, 8, 0, 0, 0, 0))
        + chunk(b"tEXt", b"Comment\0taken at 24.96 10.18")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


async def until(told: AsyncIterator[T], wanted: object) -> T:
    """The first thing told that is wanted, within twenty seconds."""

    async def wait() -> T:
        async for now in told:
            if callable(wanted) and wanted(now):
                return now
        raise AssertionError("it ended without")

    return await asyncio.wait_for(wait(), 20)


class FieldStoreTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def config(self, name: str) -> StoreConfig:
        return StoreConfig(os.path.join(self.folder, f"{name}.db"), FieldStore.new_secret())

    async def open(self, name: str) -> FieldStore:
        store = await FieldStore.open(self.config(name))
        self.addAsyncCleanup(store.close)
        return store

    def relay(self) -> Relay:
        relay = Relay(self.folder)
        self.addCleanup(relay.close)
        return relay

    async def two(self) -> tuple[FieldStore, FieldStore]:
        """Two enrolled stores that sync."""
        relay = self.relay()
        stores = await self.open("first"), await self.open("second")
        for name, store in zip(("first", "second"), stores):
            store.sync.start()
            await store.enrol(relay.code(name), name)
        return stores

    async def test_a_record_reaches_another_device_through_a_real_relay(self) -> None:
        first, second = await self.two()
        now = datetime.now(timezone.utc)
        key = await first.records.put("event", {
            "time": now, "lat": 24.96, "lon": 10.18, "title": "بئر", "deep": True, "persons_total": 7,
            "raw": b"\x00\xff", "own": {"list": [1, 2.5, None, "x"]}})
        record = await until(second.records.observe_record(key), lambda record: record is not None)
        assert record is not None
        self.assertEqual(record.fields["own"], {"list": [1, 2.5, None, "x"]})
        self.assertEqual((record.fields["deep"], record.fields["raw"]), (True, b"\x00\xff"))
        self.assertLess(abs((record.time - now).total_seconds()), 0.002)
        self.assertEqual(record.place, barid.Place(24.96, 10.18))
        self.assertEqual((await second.records.query(Query(text="البئر"))).records[0].key, key)
        self.assertTrue(await first.sync.await_synced(20))
        delivered = await first.records.get(key)
        assert delivered is not None
        self.assertTrue(delivered.is_delivered)
        self.assertNotIn("24.96", repr(record))
        self.assertNotIn("بئر", repr(record))
        status = await until(first.sync.observe_status(), lambda now: now.phase is barid.Phase.UP_TO_DATE)
        self.assertTrue(status.has_synced_once)
        self.assertEqual((status.unsent_records, status.error), (0, None))

    async def test_observers_are_told_of_what_is_new_other_and_gone(self) -> None:
        store, _ = await self.two()
        changes = store.records.observe_changes(Query(kind="event"))
        self.assertEqual((await anext(changes)).records, [])
        key = await store.records.put("event", {"title": "seen"})
        self.assertEqual([record.key for record in (await anext(changes)).inserted], [key])
        await store.records.patch(key, {"title": "seen twice"})
        self.assertEqual([record.fields["title"] for record in (await anext(changes)).updated], ["seen twice"])
        await store.records.put("patrol", {"state": "active"})  # Concerns it not.
        await store.records.withdraw(key)
        self.assertEqual((await anext(changes)).removed, [key])
        history = await store.history.of(key)
        self.assertEqual([change.sets.get("title") for change in history[:2]], ["seen", "seen twice"])
        waiting = asyncio.ensure_future(anext(changes))
        await store.close()
        with self.assertRaises(StopAsyncIteration):
            await waiting

    async def test_a_group_is_written_whole_or_not_at_all(self) -> None:
        store, _ = await self.two()
        async with store.records.group() as group:
            patrol = group.put("patrol", {"state": "active"})
            group.put("event", {"title": "of it", "patrol": patrol.id})
        self.assertEqual(len((await store.records.query()).records), 2)
        with self.assertRaisesRegex(ValueError, "on purpose"):
            async with store.records.group() as group:
                group.withdraw(patrol)
                raise ValueError("on purpose")
        self.assertEqual(len((await store.records.query(Query(kind="patrol"))).records), 1)
        await store.records.patch(patrol, {"title": "gone soon"})
        await store.records.remove(patrol, "title")
        left = await store.records.get(patrol)
        assert left is not None
        self.assertNotIn("title", left.fields)

    async def test_a_conflict_is_shown_with_its_sides_and_decided(self) -> None:
        first, second = await self.two()
        key = await first.records.put("event", {"title": "start"})
        await until(second.records.observe_record(key), lambda record: record is not None)
        self.assertTrue(await second.sync.await_synced(20))
        first.sync.pause()
        second.sync.pause()
        await first.records.patch(key, {"title": "mine"})
        await second.records.patch(key, {"title": "theirs"})
        first.sync.start()
        second.sync.start()
        conflicting = await until(first.history.observe_conflicts(), lambda records: len(records) == 1)
        self.assertEqual(conflicting[0].key, key)
        (conflict,) = await first.history.conflicts(key)
        self.assertEqual({side.value for side in conflict.sides}, {"mine", "theirs"})
        await first.history.resolve(key, conflict.field, "ours")
        await until(second.records.observe_record(key), lambda record: record.fields["title"] == "ours")
        self.assertEqual(await first.history.conflicts(key), [])

    async def test_two_devices_exchange_over_a_socket_with_no_relay_between(self) -> None:
        first, second = await self.two()
        self.assertTrue(await first.sync.await_synced(20))
        self.assertTrue(await second.sync.await_synced(20))
        first.sync.pause()
        second.sync.pause()
        key = await first.records.put("event", {"title": "carried by hand"})
        invitation = first.peers.invite()
        ends = socket.socketpair()
        told: list[barid.ExchangeReport] = []
        given, taken = await asyncio.wait_for(asyncio.gather(
            first.peers.exchange(invitation, barid.SocketStream(ends[0]), told.append),
            second.peers.exchange_with(invitation.code, barid.SocketStream(ends[1]))), 20)
        self.assertTrue(given.is_complete and taken.is_complete)
        self.assertEqual((given.peer, taken.peer), (second.device_id, first.device_id))
        self.assertTrue(told)
        self.assertIsNotNone(await second.records.get(key))
        with self.assertRaises(barid.PairingRejected):
            unused = socket.socketpair()
            self.addCleanup(unused[1].close)
            await second.peers.exchange_with("no code", barid.SocketStream(unused[0]))
        # One that nobody answers ends when its caller is cancelled.
        silent = socket.socketpair()
        self.addCleanup(silent[1].close)
        waiting = asyncio.ensure_future(
            first.peers.exchange(first.peers.invite(), barid.SocketStream(silent[0])))
        await asyncio.sleep(0.2)
        waiting.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 10)

    async def test_a_bundle_carries_what_the_relay_lacks(self) -> None:
        first, second = await self.two()
        self.assertTrue(await first.sync.await_synced(20))
        first.sync.pause()
        second.sync.pause()
        key = await first.records.put("event", {"title": "on a stick"})
        path = os.path.join(self.folder, "stick.bundle")
        exported = await first.bundles.export(path, device=second.device_id)
        self.assertGreater(exported.batches, 0)
        with self.assertRaises(barid.FileExists):
            await first.bundles.export(path, device=second.device_id)
        imported = await second.bundles.import_(path)
        self.assertEqual((imported.missing, imported.damage), (0, None))
        self.assertIsNotNone(await second.records.get(key))
        with self.assertRaises(barid.BundleRejected):
            await first.bundles.import_(path)

    async def test_a_picture_is_stripped_travels_and_is_fetched(self) -> None:
        first, second = await self.two()
        key = await first.records.put("event", {"title": "with a picture"})
        attached = await first.attachments.attach(key, picture())
        self.assertEqual((attached.media, attached.where), ("image/png", barid.Where.LOCAL))
        self.assertEqual(await first.attachments.attach(key, picture()), attached)
        held = await first.attachments.open(attached, original=True)
        assert held is not None
        self.assertNotIn(b"24.96", held)
        with self.assertRaises(barid.UnsupportedPicture):
            await first.attachments.attach(key, b"no picture")
        (there,) = await until(second.attachments.observe(key), lambda found: len(found) == 1)
        await second.attachments.fetch(there)

    async def test_a_locked_store_records_and_shows_nothing(self) -> None:
        store, _ = await self.two()
        key = await store.records.put("event", {"title": "before"})
        shown = store.records.observe()
        self.assertEqual(len(await anext(shown)), 1)
        await store.lock()
        self.assertEqual(await asyncio.wait_for(anext(shown), 10), [])
        with self.assertRaises(barid.Locked):
            await store.records.get(key)
        await store.records.put("alert", {"alert_type": "sos", "state": "raised"})
        self.assertTrue((await store.lock_state()).is_locked)
        self.assertFalse((await store.unlock()).is_locked)
        self.assertEqual(len(await asyncio.wait_for(anext(shown), 10)), 2)

    async def test_a_wipe_refuses_while_something_is_unsent(self) -> None:
        store, _ = await self.two()
        self.assertTrue(await store.sync.await_synced(20))
        store.sync.pause()
        await store.records.put("event", {"title": "only here"})
        self.assertEqual((await store.unsent()).records, 1)
        with self.assertRaises(barid.UnsentWork) as raised:
            await store.wipe()
        self.assertEqual(raised.exception.unsent.records, 1)
        bundle = os.path.join(self.folder, "last.bundle")
        report = await store.wipe(export_first=bundle)
        assert report.exported is not None
        self.assertGreater(report.exported.batches, 0)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "first.db")))
        with self.assertRaises(barid.Closed):
            await store.records.query()

    async def test_a_track_is_read_as_it_was_recorded_and_a_change_is_taken_back(self) -> None:
        store, _ = await self.two()
        patrol = await store.records.put("patrol", {"state": "active"})
        begin = datetime(2026, 11, 30, 3, 0, tzinfo=timezone.utc)
        positions = [barid.Position(begin + timedelta(seconds=n), barid.Place(24.5, 10.25), 5) for n in range(3)]
        gaps = [barid.Gap(begin, begin + timedelta(seconds=1), "no_fix")]
        await store.tracks.add(patrol, positions, gaps)
        (track,) = await store.tracks.of(patrol)
        self.assertEqual((track.positions, track.gaps, track.device), (positions, gaps, store.device_id))
        self.assertNotIn("24.5", repr(track))
        (made,) = await store.history.of(patrol)
        await store.records.patch(patrol, {"state": "done"})
        await store.history.restore(patrol, made)
        restored = await store.records.get(patrol)
        assert restored is not None
        self.assertEqual(restored.state, "active")

    async def test_the_status_says_why_there_is_no_link(self) -> None:
        relay = self.relay()
        store = await self.open("alone")
        await store.enrol(relay.code("alone"), "alone")
        relay.close()
        store.sync.start()
        status = await until(store.sync.observe_status(), lambda now: now.error is not None)
        self.assertEqual(status.error, barid.SyncError.UNREACHABLE)
        self.assertFalse(status.has_synced_once)

    async def test_a_closed_store_frees_its_file_and_says_that_it_is_closed(self) -> None:
        config = self.config("closed")
        for _ in range(3):
            store = await FieldStore.open(config)
            with self.assertRaises(barid.InUse):
                await FieldStore.open(config)
            await store.close()
            await store.close()
            with self.assertRaises(barid.Closed):
                await store.records.query()

    async def test_a_panic_becomes_an_exception_and_the_process_lives(self) -> None:
        with self.assertRaisesRegex(_ffi.InternalError, "on purpose"):
            _ffi.panic_for_test("on purpose")
        self.assertEqual(len((await self.open("after")).device_id), 64)

    async def test_wrong_arguments_are_errors_with_stable_codes(self) -> None:
        store = await self.open("wrong")
        claims: list[tuple[str, object]] = [
            ("code_rejected", store.enrol("BARID1-NONSENSE", "x")),
            ("not_enrolled", store.records.put("event", {})),
            ("invalid", store.records.get(barid.RecordKey("no space", "event", "no id"))),
            ("invalid", store.records.put("event", {"far": 2**63}, "0" * 64)),
            ("invalid", store.records.put("event", {"when": datetime.now()}, "0" * 64)),
            ("key_refused", FieldStore.open(StoreConfig(
                os.path.join(self.folder, "keyed.db"), FieldStore.new_secret(), database_key=b"k" * 32))),
        ]
        for code, call in claims:
            with self.assertRaises(barid.FieldError) as raised:
                await call  # type: ignore[misc]
            self.assertEqual(raised.exception.code, code)
        self.assertEqual(store.sync.status.phase, barid.Phase.NOT_ENROLLED)
        codes = [error.code for error in barid.FieldError.__subclasses__()]
        self.assertEqual(len(codes), len(set(codes)))

    async def test_ten_thousand_reads_and_a_thousand_observations_leave_nothing_behind(self) -> None:
        store, _ = await self.two()
        key = await store.records.put("event", {"title": "read again and again"})

        async def read(times: int) -> int:
            for number in range(times):
                await store.records.get(key)
                if number % 10 == 0:
                    told = store.records.observe()
                    await anext(told)
                    await told.aclose()  # type: ignore[attr-defined]
            gc.collect()
            return len(gc.get_objects())

        before = await read(100)
        self.assertLess(await read(10_000) - before, 500)

    async def test_the_quick_start_runs_as_printed(self) -> None:
        lines = [line for line in QUICKSTART.read_text().splitlines() if line.strip()]
        self.assertLessEqual(len(lines), 15)
        code = self.relay().code("quick start")
        printed = subprocess.run(
            [sys.executable, str(QUICKSTART), self.folder, code], check=True, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"}, timeout=60).stdout
        self.assertEqual(printed, "synced: True\nالبئر صالحة للشرب, delivered: True\n")
        readme = (TOP / "bindings" / "README.md").read_text()
        self.assertIn(QUICKSTART.read_text().strip(), readme, "the README prints another quick start")


if __name__ == "__main__":
    unittest.main()
