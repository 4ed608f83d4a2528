"""`clearing top --once` against a real Kafka: what the topics say is what is printed."""

import asyncio
import os
import sys
import time

import msgspec

from clearing import kafka
from clearing.config import Settings
from clearing.failures import ExitCode
from clearing.heartbeats import heartbeat_key
from clearing.messages import DirectoryEntry
from clearing.topics.cluster import apply_plan
from clearing.views.model import LAG_KEY
from tests.top.values import BEAT, POSITION, SENTENCE, WINDOW, sample

BOUND_S = 120.0


async def printed(settings: Settings, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr of `clearing top --once`."""
    command = [
        "--bootstrap",
        settings.bootstrap,
        "--prefix",
        settings.topic_prefix,
        "top",
        "--once",
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clearing", *command, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": "100"},
    )
    async with asyncio.timeout(BOUND_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_once_prints_what_the_topics_say(bootstrap: str, topic_prefix: str) -> None:
    settings = Settings(bootstrap=bootstrap, topic_prefix=topic_prefix)
    topics = settings.topics
    await apply_plan(bootstrap, topics, {})
    now_ms = time.time_ns() // 1_000_000
    values: list[tuple[str, bytes, msgspec.Struct]] = [
        (topics.netting_sets, b"hk", DirectoryEntry(netting_set="hk", partition=0)),
        (topics.view("windows"), b"1412", WINDOW),
        (topics.positions, b"AURAHKHH", POSITION),
        (topics.view("lag"), LAG_KEY, sample(now_ms)),
        (topics.heartbeats, heartbeat_key(BEAT), msgspec.structs.replace(BEAT, at_ms=now_ms)),
    ]
    async with kafka.started(kafka.producer(bootstrap)) as producer:
        for topic, key, value in values:
            await producer.send_and_wait(topic, msgspec.json.encode(value), key=key, partition=0)
    code, out, err = await printed(settings, "positions")
    assert (code, err) == (ExitCode.OK, "")
    assert SENTENCE in " ".join(out.split())
    assert "AURAHKHH     HKD    hk   ● ███▋····  45 %" in out
    assert "views have never run here: clearing views" in out, "this test is not the views"
    assert "\x1b" not in out
    code, out, err = await printed(settings, "--netting-set", "eu")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "there is no netting set 'eu': hk" in err
