"""Runs on servers that are not ours: their topics are gone afterwards, their netting sets are the run's own."""

import asyncio
from pathlib import Path

from clearing.dev import demo
from clearing.dev.setup import prepare, read_scheme, renamed, servers
from clearing.kafka import administration


async def test_a_run_on_the_users_servers_takes_its_topics_away(
    bootstrap: str, fresh_dsn: str, tmp_path: Path
) -> None:
    async with administration(bootstrap) as admin:
        before = set(await admin.list_topics())
        async with servers(tmp_path, lambda _: None, bootstrap, fresh_dsn) as made:
            assert made.embedded.kafka is None
            assert made.embedded.postgres is None
            scheme = renamed(read_scheme(demo.SCHEME), made.run)
            partitions = await prepare(made.settings, scheme, by="test")
            assert set(partitions) == {f"{made.run}-hk", f"{made.run}-eu"}
            there = {t for t in await admin.list_topics() if not t.startswith("__")} - before
            assert made.settings.topics.log in there
            assert all(topic.startswith(made.settings.topic_prefix) for topic in there)
            assert made.settings.topic_prefix
        async with asyncio.timeout(20):
            while there & set(await admin.list_topics()):  # noqa: ASYNC110  the broker says when
                await asyncio.sleep(0.05)


def test_renaming_touches_netting_sets_only() -> None:
    scheme = read_scheme(demo.SCHEME)
    assert renamed(scheme, "") is scheme
    again = renamed(scheme, "run1")
    assert again.members == {f"run1-{name}": banks for name, banks in scheme.members.items()}
    assert again.accounts == scheme.accounts
    for name in scheme.netting_sets:
        assert len(again.accounts_of(f"run1-{name}")) == len(scheme.accounts_of(name)) > 0
