"""Records that are gone where somebody has yet to read: he stops there and says so, and skips nothing (F14).

Real services, two netting sets. In one of them retention and a careless hand take what intake, dispatch, sink and
engine were to read next; the other one goes on, until the whole log is lost.
"""

from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete

from clearing import kafka
from clearing.client import Bank
from tests.faults.conftest import Observe
from tests.faults.harness import settings_of, soon
from tests.faults.test_halts import Hall, hall


class Careless:
    """What happens to topics of netting set west, and what is told of it then."""

    def __init__(self, here: Hall) -> None:
        self._here = here
        self._topics = here.settings.topics
        self._bootstrap = here.settings.bootstrap

    async def published(self, bank: str = "ALPHHKHH") -> str:
        """A payment nobody has answered yet: its id."""
        prefix = self._here.settings.topic_prefix
        async with Bank(self._bootstrap, bank, "west", prefix) as sender:
            return await sender.pay("BETAHKHH", "EUR", "1.00")

    async def end(self, topic: str, partition: int) -> int:
        where = TopicPartition(topic, partition)
        async with kafka.started(kafka.consumer(self._bootstrap)) as reader:
            return (await reader.end_offsets([where]))[where]

    async def grows(self, topic: str, partition: int, than: int) -> None:
        async def grown() -> bool:
            return await self.end(topic, partition) > than

        await soon(grown, f"{topic} to grow")

    async def retention_passes(self, topic: str, partition: int) -> int:
        """All that is there is deleted, as if it had aged: where the topic begins now."""
        end = await self.end(topic, partition)
        where = TopicPartition(topic, partition)
        async with kafka.administration(self._bootstrap) as admin:
            await admin.delete_records({where: RecordsToDelete(end)})
        return end

    async def made_again(self, topic: str, partitions: int) -> None:
        async with kafka.administration(self._bootstrap) as admin:
            await admin.delete_topics([topic])

            async def gone() -> bool:
                return topic not in await admin.list_topics()

            await soon(gone, f"{topic} to be deleted")
            stamped = {"message.timestamp.type": "LogAppendTime"}
            await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=stamped)])

    async def is_answered(self) -> None:
        """The other netting set is as well as ever."""
        assert await self._here.pays("east", "HKD") == "ACSP"

    async def sources(self) -> None:
        """Two banks' topics: of one the records nobody had read are gone, the other is another topic by now."""
        here, stopped = self._here, self._topics.payments("west", "ALPHHKHH")
        await here.services.stop("intake-1")
        await self.published()
        first = await self.retention_passes(stopped, 0)
        here.services.start("intake-1")
        await here.services.ready("intake-1")
        halt = await here.halted("intake", "west")
        assert (halt.kind, halt.topic) == ("source", stopped)
        assert f"begins at {first}" in halt.reason
        again = self._topics.payments("west", "GAMMHKHH")
        await self.published("GAMMHKHH")
        await self.made_again(again, 1)

        async def noticed() -> bool:
            return "was deleted and made again" in here.services["intake-1"].log.read_text()

        await soon(noticed, "intake to notice that the topic is another one")
        await self.is_answered()

    async def outcomes(self) -> None:
        here, number = self._here, self._here.numbers["west"]
        await here.services.stop("dispatch-1")
        before = await self.end(self._topics.outcomes, number)
        await self.published("DELTHKHH")
        await self.grows(self._topics.outcomes, number, before)
        first = await self.retention_passes(self._topics.outcomes, number)
        here.services.start("dispatch-1")
        await here.services.ready("dispatch-1")
        halt = await here.halted("dispatch", "west")
        assert (halt.kind, halt.topic) == ("log_lost", self._topics.outcomes)
        assert f"holds {first} to" in halt.reason
        assert halt.next_command == "clearing topics plan"
        await self.is_answered()

    async def settlements(self) -> None:
        here, number = self._here, self._here.numbers["west"]
        await here.services.stop("sink-1")
        before = await self.end(self._topics.settlements, number)
        await self.published("DELTHKHH")
        await self.grows(self._topics.settlements, number, before)
        first = await self.retention_passes(self._topics.settlements, number)
        here.services.start("sink-1")
        await here.services.ready("sink-1")
        halt = await here.halted("sink-postgres", "west")
        assert (halt.kind, halt.topic) == ("log_lost", self._topics.settlements)
        assert f"begins at offset {first}" in halt.reason
        await self.is_answered()

    async def head_of_the_log(self) -> None:
        here, engines = self._here, self._here.services.of("engine")
        await here.services.stop(*engines)
        first = await self.retention_passes(self._topics.log, here.numbers["west"])
        here.services.start(*engines)
        await here.services.ready(*engines)
        halt = await here.halted("engine", "west")
        assert (halt.kind, halt.topic) == ("log_lost", self._topics.log)
        assert f"begins at offset {first}" in halt.reason
        await self.is_answered()

    async def whole_log(self) -> None:
        here, engines = self._here, self._here.services.of("engine")
        await here.services.stop(*here.services.names)
        await self.made_again(self._topics.log, len(here.numbers))
        here.services.start(*engines)
        halt = await here.halted("engine", "east")
        assert halt.kind == "log_lost"
        assert "its tail is lost" in halt.reason


async def test_what_is_gone_is_never_skipped(
    bootstrap: str, fresh_dsn: str, topic_prefix: str, tmp_path: Path, observed: Observe
) -> None:  # F14 R30
    # No snapshot: the engine needs the whole log.
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path, snapshot_every_s=3_600)
    async with hall(settings, tmp_path) as here:
        careless = Careless(here)
        assert await here.pays("west", "EUR") == "ACSP"
        await careless.sources()
        await careless.outcomes()
        await careless.settlements()
        await careless.head_of_the_log()
        await careless.whole_log()
    for injected, seen in (
        (
            "retention passes what intake has yet to read of a source",
            "that source stops, told with the place",
        ),
        (
            "a payments topic is deleted and made again under load",
            "another topic by its id: its source stops",
        ),
        (
            "retention passes what dispatch has yet to tell",
            "its netting set stops, the other is told",
        ),
        (
            "retention passes what the sink has yet to post",
            "its netting set stops, the other settles",
        ),
        (
            "retention passes what the engine has yet to replay",
            "its netting set stops, the other clears",
        ),
        ("the log is deleted and made again", "both stop: its tail is lost"),
    ):
        observed("F14", injected, 1, seen)
