import asyncio, pathlib, sys
from barid import FieldStore, Query, StoreConfig

async def main(folder: str, code: str) -> None:
    secret = pathlib.Path(folder, "device.key")  # Elsewhere: the platform's key store.
    if not secret.exists():
        secret.write_bytes(FieldStore.new_secret())
    async with await FieldStore.open(StoreConfig(f"{folder}/field.db", secret.read_bytes())) as store:
        if store.enrolment is None:
            await store.enrol(code, "Quick start")  # Once; all else works without a network.
        await store.records.put("event", {"title": "البئر صالحة للشرب", "lat": 24.96, "lon": 10.18})
        store.sync.start()
        print("synced:", await store.sync.await_synced(timeout=30))
        for event in (await store.records.query(Query(kind="event"))).records:
            print(f"{event.fields['title']}, delivered: {event.is_delivered}")

asyncio.run(main(*sys.argv[1:]))
