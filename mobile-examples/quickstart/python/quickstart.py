"""Usage: quickstart.py FOLDER CODE. The code comes from `barid enrol`."""

import pathlib
import sys
import time

from barid import FieldStore, FieldValue, Query, StoreConfig, generate_seed


def main(folder: str, code: str) -> None:
    # The device's secret. On a phone it belongs into the key store; here it is a file.
    key = pathlib.Path(folder, "device.key")
    if not key.exists():
        key.write_bytes(generate_seed())

    store = FieldStore.open(StoreConfig(path=f"{folder}/field.db", seed=key.read_bytes()))
    if store.enrolment() is None:
        store.enrol(code, "Quickstart laptop")

    # Recorded and durable when `put` returns, network or not.
    store.records().put(
        "event",
        {
            "time": FieldValue.INT(int(time.time() * 1000)),
            "lat": FieldValue.NUMBER(24.96),
            "lon": FieldValue.NUMBER(10.18),
            "event_type": FieldValue.TEXT("water_point_status"),
            "title": FieldValue.TEXT("البئر صالحة للشرب"),
        },
    )

    store.sync().start()
    print("synced:", store.sync().wait_until_synced(30_000))

    for event in store.records().query(Query(kind="event")).records:
        print(f"{event.fields['title'].value}, delivered: {event.delivered}")
    store.sync().stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
