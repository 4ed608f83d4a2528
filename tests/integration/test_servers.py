"""The fixtures themselves: what they hand out is real, and separate where they say so."""

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


async def _roundtrip(bootstrap: str, topic: str) -> list[bytes | None]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"also kept")
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    ) as consumer:
        return [(await consumer.getone()).value for _ in range(2)]


async def test_broker_keeps_transactions(bootstrap: str, topic_prefix: str) -> None:
    assert await _roundtrip(bootstrap, f"{topic_prefix}transactions") == [b"kept", b"also kept"]


async def test_each_test_has_its_own_topics(bootstrap: str, topic_prefix: str) -> None:
    # The same name as in the test before, and yet nothing of it.
    assert await _roundtrip(bootstrap, f"{topic_prefix}transactions") == [b"kept", b"also kept"]


async def test_fresh_database_is_empty_and_not_the_shared_one(dsn: str, fresh_dsn: str) -> None:
    count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    shared, own = await asyncpg.connect(dsn), await asyncpg.connect(fresh_dsn)
    try:
        assert await own.fetchval(count) == 0
        await own.execute("CREATE TABLE mine (id int)")
        before = await shared.fetchval(count)
        assert await own.fetchval(count) == 1
        assert await shared.fetchval("SELECT to_regclass('mine')") is None
        assert await shared.fetchval(count) == before
    finally:
        await own.close()
        await shared.close()
