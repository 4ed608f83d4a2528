"""A peer as a process: started, asked for rounds, checked after each of them, ended.

Its input is a topic of one partition with the same payments, byte for byte, that we are sent; what it answers goes
to topics made for the round. A round whose outputs are not what the input calls for gives no figures.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from clearing import kafka
from clearing.dev.kafka_home import clean_environment
from loadtests.gate import gate_peer
from loadtests.peers.books import Settlement
from loadtests.peers.work import Order, PeerFailed, Round, Work

ROUND_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 15.0
READABLE_TIMEOUT_S = 5.0
RETRY_S = 0.1
LINE_BYTES = 1 << 20
ROOT = Path(__file__).parents[2]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's input, and what has to come of it: so many statuses, of which accepted; nets of all windows together
    (bank, asset, minor units)."""

    topic: str
    records: int
    accepted: int
    nets: list[tuple[str, str, int]]


class Peer:
    """`command` is started with the first round and again after it has ended; lasting: it answers more than one."""

    def __init__(
        self, name: str, work: Work, command: Sequence[str], folder: Path, *, lasting: bool = True
    ) -> None:
        self.name = name
        self._work = work
        self._command = command
        self._folder = folder
        self.lasting = lasting
        self._rounds = 0
        self._process: asyncio.subprocess.Process | None = None

    async def round(self, source: Source) -> Round:
        """One round over the whole of `source`, checked. Raises PeerFailed, Invalid."""
        self._rounds += 1
        order = Order(
            input=source.topic,
            records=source.records,
            statuses=f"{self._work.name}-{self._rounds}.statuses",
            settlements=f"{self._work.name}-{self._rounds}.settlements",
        )
        async with kafka.administration(self._work.bootstrap, client="loadtest-peer") as admin:
            await admin.create_topics([NewTopic(name, 1, 1) for name in _outputs(order)])
            try:
                words = ("clear", order.input, order.records, order.statuses, order.settlements)
                found = msgspec.json.decode(await self.ask(*words), type=Round)
                if not self.lasting:
                    await self.close()
                gate_peer(self.name, await self._check(order, source))
                return found
            finally:
                await admin.delete_topics(_outputs(order))

    async def _check(self, order: Order, source: Source) -> list[str]:
        """A commit is answered a moment before what it commits can be read."""
        deadline = time.monotonic() + READABLE_TIMEOUT_S
        while True:
            problems = await check(self._work.bootstrap, order, source)
            if not problems or time.monotonic() > deadline:
                return problems
            await asyncio.sleep(RETRY_S)

    async def ask(self, *words: object) -> bytes:
        """One line of answer to one line of words. Raises PeerFailed."""
        process = self._process or await self._start()
        assert process.stdin is not None, "it was started with a pipe"
        assert process.stdout is not None, "it was started with a pipe"
        process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        try:
            answer = await asyncio.wait_for(process.stdout.readline(), ROUND_TIMEOUT_S)
        except TimeoutError:
            await self.close()
            raise PeerFailed(f"{self.name} gave no answer in {ROUND_TIMEOUT_S:.0f} s") from None
        if not answer:
            await self.close()
            said = (self._folder / "stderr.log").read_text(errors="replace")[-1_000:].strip()
            raise PeerFailed(f"{self.name} has ended: {said or 'it does not say why'}")
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "stderr.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=clean_environment(),
                start_new_session=True,  # a Ctrl-C is for us; a peer ends when its standard input does
                limit=LINE_BYTES,
            )
        return self._process

    async def close(self) -> None:
        """End the process, if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None, "it was started with a pipe"
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _outputs(order: Order) -> list[str]:
    return [order.statuses, order.settlements]


async def check(bootstrap: str, order: Order, source: Source) -> list[str]:
    """What is wrong with the outputs of a round, one sentence each (in = out, nets as planned, each batch zero)."""
    topics = [TopicPartition(name, 0) for name in _outputs(order)]
    reader = kafka.consumer(bootstrap, client="loadtest-check")
    told = accepted = 0
    ids: set[bytes] = set()
    nets: Counter[tuple[str, str]] = Counter()
    problems: list[str] = []
    async with kafka.started(reader):
        reader.assign(topics)
        async for record in kafka.read_to_end(reader, topics[0]):
            value = record.value or b""
            told += 1
            if b'"ACSP"' in value:
                accepted += 1
                ids.add(value[:60])  # begins with the id
        async for record in kafka.read_to_end(reader, topics[1]):
            batch = msgspec.json.decode(record.value or b"", type=Settlement)
            sums: Counter[str] = Counter()
            for entry in batch.positions:
                nets[entry.participant, entry.asset] += entry.net
                sums[entry.asset] += entry.net
            if any(sums.values()):
                problems.append(f"batch {batch.window} does not sum to zero")
    for what, planned, is_ in (
        ("statuses", source.records, told),
        ("accepted", source.accepted, accepted),
        ("ids accepted", source.accepted, len(ids)),
        ("nets", {(b, a): n for b, a, n in source.nets if n}, {k: n for k, n in nets.items() if n}),
    ):
        if planned != is_:
            problems.append(f"{what}: {_short(planned)} in, {_short(is_)} out")
    return problems


def _short(value: object) -> str:
    return str(value) if isinstance(value, int) else f"{value}"[:200]
