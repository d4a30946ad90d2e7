"""The generated Python against the real library and a real relay."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent.parent
# The generated module loads the library that lies beside it.
shutil.copy(os.environ["BARID_LIBRARY"], HERE)
sys.path.insert(0, str(HERE))

import barid  # noqa: E402

QUICKSTART = HERE.parent.parent / "mobile-examples" / "quickstart" / "python" / "quickstart.py"


class Relay:
    """The built `barid` in a process of its own."""

    def __init__(self, folder: str) -> None:
        self.data = os.path.join(folder, "relay")
        password = pathlib.Path(folder, "password")
        password.write_text("a long enough password 7600")
        run("init", "--data", self.data, "--organisation-en", "Border Guard", "--organisation-ar", "حرس الحدود",
            "--account", "duty", "--password-file", str(password))
        self.process = subprocess.Popen(
            [os.environ["BARID"], "serve", "--data", self.data, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, text=True)
        if not any("listening on" in line for line in iter(self.process.stdout.readline, "")):
            raise RuntimeError("the relay did not start")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def code(self, label: str) -> str:
        printed = run("enrol", "--data", self.data, "--organisation", "Border Guard", "--label", label)
        return next(word for word in printed.split() if word.startswith("BARID1-"))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(15)
        self.process.stdout.close()


def run(*words: str) -> str:
    return subprocess.run([os.environ["BARID"], *words], check=True, stdout=subprocess.PIPE, text=True).stdout


class FieldStoreTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def open(self, name: str) -> barid.FieldStore:
        path = os.path.join(self.folder, f"{name}.db")
        return barid.FieldStore.open(barid.StoreConfig(path=path, seed=barid.generate_seed()))

    def relay(self) -> Relay:
        relay = Relay(self.folder)
        self.addCleanup(relay.close)
        return relay

    def test_a_record_reaches_another_device_through_a_real_relay(self) -> None:
        relay = self.relay()
        first, second = self.open("first"), self.open("second")
        first.enrol(relay.code("first"), "first")
        second.enrol(relay.code("second"), "second")
        key = first.records().put("event", {"title": barid.FieldValue.TEXT("بئر")})
        first.sync().start()
        second.sync().start()
        self.assertTrue(first.sync().wait_until_synced(20_000))
        self.eventually("the record arrives", lambda: second.records().get(key))
        self.assertEqual(second.records().query(barid.Query(text="البئر")).records[0].key, key)
        self.assertTrue(first.records().get(key).delivered)
        first.sync().stop()
        second.sync().stop()

    def test_an_observer_hears_of_a_change(self) -> None:
        heard = []

        class Observer(barid.RecordObserver):
            def changed(self, keys):
                heard.extend(keys)

        relay = self.relay()
        store = self.open("observed")
        store.enrol(relay.code("observed"), "observed")
        subscription = store.records().observe(Observer())
        key = store.records().put("event", {"title": barid.FieldValue.TEXT("seen")})
        self.eventually("the observer hears of it", lambda: key in heard)
        subscription.cancel()

    def test_a_panic_becomes_an_exception_and_the_process_lives(self) -> None:
        with self.assertRaisesRegex(barid.InternalError, "on purpose"):
            barid.panic_for_test("on purpose")
        self.assertEqual(len(self.open("after").device_id()), 64)

    def test_wrong_arguments_are_typed_errors(self) -> None:
        store = self.open("wrong")
        with self.assertRaises(barid.BaridError.CodeRejected):
            store.enrol("BARID1-NONSENSE", "x")
        with self.assertRaises(barid.BaridError.NotEnrolled):
            store.sync().start()

    def test_the_quick_start_runs_as_printed(self) -> None:
        code = self.relay().code("quick start")
        printed = subprocess.run(
            [sys.executable, str(QUICKSTART), self.folder, code], check=True, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONIOENCODING": "utf-8"}).stdout
        self.assertEqual(printed, "synced: True\nالبئر صالحة للشرب, delivered: True\n")

    def eventually(self, claim: str, ask) -> None:
        end = time.monotonic() + 20
        while not ask():
            self.assertLess(time.monotonic(), end, f"not within 20 s: {claim}")
            time.sleep(0.01)


if __name__ == "__main__":
    unittest.main()
