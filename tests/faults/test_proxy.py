"""Requests and responses that get lost, come late or are refused, with a proxy that knows which is which.

One real broker, real PostgreSQL, the services as processes behind the proxy, seeded banks; one fault after the
other, two netting sets at a time (F4, F6, F7, F8; R28-R31).
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.producer.producer import AIOKafkaProducer

from clearing import kafka
from clearing.dev.drill import Drill
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.proxy import KafkaProxy
from clearing.dev.proxy_rules import Api, ErrorCode
from clearing.dev.tasks import task_group
from clearing.observe import StatusReport, collect
from tests.faults.conftest import Observe
from tests.faults.harness import drilled, sequences_are_whole, until
from tests.faults.impatient import impatient
from tests.faults.proxied import (
    COUNTS,
    PATIENCE_S,
    Pace,
    allow_writing,
    both_settings,
    bounds,
    broker_behind_proxy,
    engine_of,
    error_codes,
    forbid_writing,
    log_of,
    run_clearing,
    until_said,
)

ENGINE = "engine-1"
OLD_EPOCH = {ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.PRODUCER_FENCED}
TRANSACTIONAL = (Api.ADD_PARTITIONS_TO_TXN, Api.PRODUCE, Api.END_TXN)
# Of these the engine doubts, and reads in the journal what became of it.
DOUBTED = (
    (Api.END_TXN, ErrorCode.INVALID_TXN_STATE),
    (Api.PRODUCE, ErrorCode.INVALID_TXN_STATE),
    (Api.PRODUCE, ErrorCode.TOPIC_AUTHORIZATION_FAILED),
    (Api.ADD_PARTITIONS_TO_TXN, ErrorCode.TOPIC_AUTHORIZATION_FAILED),
)
# These it asks again, without any harm.
ASKED_AGAIN = (
    (Api.ADD_PARTITIONS_TO_TXN, ErrorCode.CONCURRENT_TRANSACTIONS),
    (Api.END_TXN, ErrorCode.CONCURRENT_TRANSACTIONS),
)


class Trouble:
    """What is done to the engine of one netting set, and what must come of it."""

    def __init__(
        self, proxy: KafkaProxy, drill: Drill, netting_set: str, observed: Observe
    ) -> None:
        self.proxy = proxy
        self.drill = drill
        self.name = netting_set
        self.client = engine_of(netting_set)
        self.pace = Pace(drill, netting_set)
        self.observed = observed

    async def lost_responses(self, *apis: Api) -> None:
        """The broker has done what was asked, the engine never hears of it (F4)."""
        for api in apis:
            lost = self.proxy.drop_response(api, client=self.client)
            await lost.hit(PATIENCE_S)
            await self.pace.goes_on()
            self.observed(
                "F4", f"response to {api.name} lost", 1, "new epoch, journal read, goes on"
            )

    async def lost_epoch(self) -> None:
        """The engine doubts, and its new producer does not hear which epoch it got (F4)."""
        lost = self.proxy.drop_response(Api.INIT_PRODUCER_ID, client=self.client)
        again = self.proxy.close_after(Api.END_TXN, client=self.client)
        doubt = self.proxy.drop_request(Api.END_TXN, client=self.client, skip=1)
        for rule in (again, doubt, lost):
            await rule.hit(PATIENCE_S)
        await self.pace.goes_on()
        self.observed("F4", "response to INIT_PRODUCER_ID lost", 1, "asked again: one epoch later")
        self.observed("F4", "request END_TXN lost", 1, "new epoch, journal read, done again")
        self.observed("F4", "connection reset after END_TXN was done", 1, "asked again, no effect")

    async def late_requests(self, *apis: Api) -> None:
        """Each arrives when a successor with a newer epoch is in the middle of a transaction of its own (F4)."""
        for api in apis:
            late = self.proxy.delay_request(api, client=self.client)
            await late.hit(PATIENCE_S)
            fencing = self.proxy.on_request(
                Api.INIT_PRODUCER_ID, lambda _: None, client=self.client
            )
            await fencing.hit(PATIENCE_S)
            # The successor's partitions are added, its records written, its end not asked for.
            between = self.proxy.delay_request(Api.END_TXN, client=self.client)
            await between.hit(PATIENCE_S)
            late.release()
            await asyncio.wait_for(late.hits[0].answered.wait(), PATIENCE_S)
            between.release()
            assert error_codes(late.hits[0]) <= OLD_EPOCH
            await self.pace.goes_on()
            what = f"{api.name} held back until its successor was in a transaction"
            self.observed("F4", what, 1, "refused as of an old epoch; the transaction was whole")

    async def lost_and_late(self, *, thoroughly: bool) -> None:
        await self.late_requests(*(TRANSACTIONAL if thoroughly else (Api.END_TXN,)))
        await self.lost_responses(Api.END_TXN)
        await self.lost_epoch()

    async def late_and_lost(self, *, thoroughly: bool) -> None:
        await self.lost_responses(Api.ADD_PARTITIONS_TO_TXN, Api.PRODUCE)
        await self.late_requests(*(TRANSACTIONAL if thoroughly else (Api.PRODUCE,)))

    async def refusals(self, *, thoroughly: bool) -> None:
        """The broker says no, or says so although it has done it (F6)."""
        lies = (self.proxy.answer, self.proxy.falsify)
        for number, (api, error) in enumerate(DOUBTED):
            for refuse in lies if thoroughly else (lies[number % 2],):
                refused = refuse(api, error, client=self.client)
                await refused.hit(PATIENCE_S)
                await self.pace.goes_on()
                done = "done and denied" if refused.on_response else "refused"
                what = f"{api.name} {done} with {error.name}"
                self.observed("F6", what, 1, "nothing of it visible twice or in part; goes on")
        for api, error in ASKED_AGAIN:
            refused = self.proxy.answer(api, error, client=self.client, times=10)
            await until(lambda refused=refused: len(refused.hits) == 10, error.name, PATIENCE_S)
            await self.pace.goes_on()
            self.observed("F6", f"{api.name} refused with {error.name}", 10, "asked again")

    async def too_few_replicas(self) -> None:
        """For longer than a transaction may take (F6)."""
        lasting = self.proxy.answer(
            Api.PRODUCE, ErrorCode.NOT_ENOUGH_REPLICAS, client=self.client, times=None
        )
        await lasting.hit(PATIENCE_S)
        before, since = self.pace.sequence, len(log_of(self.drill, ENGINE))
        await until_said(self.drill, ENGINE, '"doubt"', since)
        assert self.pace.sequence <= before + 1, "at most what was on its way to us"
        self.proxy.remove(lasting)
        await self.pace.goes_on()
        seen = "stalls, says so, goes on when there are enough"
        self.observed("F6", "too few replicas for some seconds", 1, seen)

    async def loses_its_authorisation(self, kafka: EmbeddedKafka) -> None:
        """A real one, in the middle of a transaction, and gets it back (F6)."""
        middle = self.proxy.delay_request(Api.PRODUCE, client=self.client)
        await middle.hit(PATIENCE_S)
        before, since = self.pace.sequence, len(log_of(self.drill, ENGINE))
        await forbid_writing(kafka.bootstrap, "outcomes")
        middle.release()
        await until_said(self.drill, ENGINE, "TopicAuthorizationFailed", since)
        assert self.pace.sequence <= before + 1, "at most what was on its way to us"
        await allow_writing(kafka.bootstrap, "outcomes")
        await self.pace.goes_on()
        seen = "nothing of it visible; names the topic; goes on when it may write again"
        self.observed("F6", "right to write taken away in mid-transaction", 1, seen)

    async def writes_too_much(self) -> None:
        """What would be refused for ever halts the netting set, until somebody lets it try again (F6)."""
        settings = self.drill.settings
        self.proxy.answer(Api.PRODUCE, ErrorCode.MESSAGE_TOO_LARGE, client=self.client)
        report = await self._until_status(lambda report: bool(report.halts), "a halt")
        (halt,) = report.halts
        assert (halt.netting_set, halt.kind.value) == (self.name, "refused")
        assert "too large" in halt.reason
        before = self.pace.sequence
        await run_clearing(settings, "retry", self.name, "--by", "test")
        await until(
            lambda: self.pace.sequence > before, "the halted netting set to go on", PATIENCE_S
        )
        seen = "halts, says why and what to do; the other netting set goes on; goes on when told"
        self.observed("F6", "PRODUCE refused with MESSAGE_TOO_LARGE", 1, seen)

    async def stands_still_in_a_transaction(self, bootstrap: str) -> None:
        """Until the broker has given it up (F7)."""
        services = self.drill.services
        written = self.proxy.on_response(
            Api.PRODUCE, lambda _: services.pause(ENGINE), client=self.client
        )
        exchange = await written.hit(PATIENCE_S)
        before = self.pace.sequence
        topic, _ = exchange.request.decode().topics[0]
        place = TopicPartition(topic, self.pace.partition)
        stable, end = await bounds(bootstrap, place)
        assert stable < end, "its transaction is open"
        async with asyncio.timeout(PATIENCE_S):
            while stable < end:
                stable, end = await bounds(bootstrap, place)
        since = len(log_of(self.drill, ENGINE))
        assert self.pace.sequence <= before + 1, "at most what was on its way to us"
        services.resume(ENGINE)
        await until(
            lambda: any(f'"{word}"' in log_of(self.drill, ENGINE)[since:] for word in DOUBT_WORDS),
            "the engine to doubt",
            PATIENCE_S,
        )
        await self.pace.goes_on()
        seen = "transaction aborted by the broker, nothing of it seen; fenced, goes on by itself"
        self.observed("F7", "engine stopped in mid-transaction past its time-out", 1, seen)

    async def held_up_by_a_stranger(self, bootstrap: str) -> None:
        """A transaction of somebody else stays open on what the engine reads (F8). What he writes where the engine
        alone may write is a halt of its own."""
        name, told = "a-stranger", self.drill.banks.told
        partition = self.pace.partition
        stranger = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=name)
        async with kafka.started(stranger):
            await stranger.begin_transaction()
            sent = await stranger.send_and_wait("log", b"no business of his", partition=partition)
            report = await self._until_status(lambda one: bool(one.open_transactions), "an alarm")
        (found,) = report.open_transactions
        assert (found.topic, found.partition, found.offset) == ("log", partition, sent.offset)
        assert found.transactional_id == name
        assert f"forceTerminateTransaction --transactionalId {name}" in found.ended_by(bootstrap)
        stuck = told.rows
        # What that command does: the id gets a new epoch, and what the old one has left open is aborted.
        async with kafka.started(
            AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=name)
        ):
            await until(lambda: told.rows > stuck, "banks to be told again", PATIENCE_S)
        seen = "readers wait; status names producer, since when, and the command that ends it"
        self.observed("F8", "stranger leaves a transaction open on the log", 1, seen)

    async def _until_status(
        self, condition: Callable[[StatusReport], bool], what: str
    ) -> StatusReport:
        deadline = time.monotonic() + PATIENCE_S
        while not condition(report := await collect(self.drill.settings)):
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
            await asyncio.sleep(0.3)
        return report


DOUBT_WORDS = ("fenced", "doubt", "recovering")


@pytest.mark.thorough
async def test_requests_lost_late_and_refused(
    fresh_dsn: str, tmp_path: Path, rounds: int, observed: Observe
) -> None:  # F4 F6 F7 F8 R28 R29 R30
    async with broker_behind_proxy(tmp_path) as (kafka, proxy):
        straight, behind = both_settings(kafka, proxy, fresh_dsn, tmp_path)

        async def trouble(drill: Drill) -> None:
            east, west = (Trouble(proxy, drill, name, observed) for name in ("east", "west"))
            for number in range(rounds):
                first, second = (east, west) if number % 2 else (west, east)
                async with task_group() as group:
                    group.create_task(first.lost_and_late(thoroughly=rounds > 1))
                    group.create_task(second.late_and_lost(thoroughly=rounds > 1))
                async with task_group() as group:
                    group.create_task(first.held_up_by_a_stranger(kafka.bootstrap))
                    group.create_task(second.refusals(thoroughly=rounds > 1))
                async with task_group() as group:
                    group.create_task(first.writes_too_much())
                    group.create_task(second.too_few_replicas())
                await first.loses_its_authorisation(kafka)
                await second.stands_still_in_a_transaction(kafka.bootstrap)
            drill.banks.finish()

        result = await drilled(
            straight,
            tmp_path,
            COUNTS,
            payments=200_000 * rounds,
            rows_per_s=300,
            seed=23,
            during=trouble,
            command=impatient,
            proxied=behind,
        )
    assert result.ok, str(result)
    assert sequences_are_whole(result.drill)
