"""Broken variants of the product, each an exact replacement in the source of one module, each to be caught.

What would go wrong is said in `name`; `only`: faults under which it shows soonest, see faults.draw_plan. A snippet
that is not found exactly once is an error: whoever changes that code has to look at its mutant.

Left out, because they do no harm by themselves:
* dispatch that does not look at the end of the status topics tells again what was told: readers drop it by its
  sequence, the client as our banks. It only costs them reading.
* a snapshot that is named in the journal before it is whole: it is refused, and an older one or the log is read.
* a sink that does not look for the batch id: offsets below its progress are dropped before, the database's unique
  index stands behind. Held by tests/integration/test_ledger_conflicts.py.
* a gap in a source that is passed over: our intake makes none. Held by tests/core/test_step.py.
"""

from typing import NamedTuple

_KILLS = ("kill", "kill_at_point", "freeze_at_point")
_ENGINE = ("second_engine", "freeze", "kill_at_point", "end_delayed", "response_lost")
_REFUSED_TO_INTAKE = (
    "broker_error target=intake-1 api=Produce error=UNKNOWN",
    "request_delayed target=intake-1 api=Produce delay_s=2",
    "kill target=intake-1",
)
_SINK = ("kill_at_point", "kill", "session_dies", "reply_lost", "commit_lost")


class Mutant(NamedTuple):
    """edits: what stands there, and what stands there instead."""

    name: str
    module: str
    edits: tuple[tuple[str, str], ...]
    only: tuple[str, ...]


MUTANTS: tuple[Mutant, ...] = (
    # --- the engine's transactions ---------------------------------------------------------------------------
    Mutant(
        "commits before it has checked what it sent",
        "clearing.kafka",
        (
            (
                (
                    "            stored = await asyncio.gather(*sent)\n"
                    '            failpoints.at("transact.acknowledged")\n'
                    "            await producer.commit_transaction()\n"
                ),
                (
                    "            await producer.commit_transaction()\n"
                    "            stored = [f.result() for f in sent if not f.exception()]\n"
                ),
            ),
        ),
        ("broker_error target=engine-1 api=Produce error=UNKNOWN",),
    ),
    Mutant(
        "recovers before it has fenced its predecessor",
        "clearing.engine.processor",
        (
            (
                "            producer = await stack.enter_async_context(self._fenced_producer())\n",
                "",
            ),
            (
                "            self._sequence = transaction.sequence if",
                (
                    "            producer = await stack.enter_async_context(self._fenced_producer())\n"
                    "            self._sequence = transaction.sequence if"
                ),
            ),
        ),
        (
            "freeze_at_point service=engine point=engine.recover.journal_read for_s=3.7",
            "rebalance_storm service=engine",
            "second_engine",
            "kill target=engine-1",
        ),
    ),
    Mutant(
        "has a transactional id of its own in each process, which fences nobody",
        "clearing.engine.processor",
        (
            (
                ("transactional_id=self.topics.transactional_id(self.netting_set)"),
                (
                    'transactional_id=f"{self.topics.transactional_id(self.netting_set)}-{os.getpid()}"'
                ),
            ),
        ),
        _ENGINE,
    ),
    Mutant(
        "aborts after a doubt and goes on",
        "clearing.engine.processor",
        (
            (
                ("                stored = await self._transact(producer, machine, outputs)\n"),
                (
                    "                try:\n"
                    "                    stored = await self._transact(producer, machine, outputs)\n"
                    "                except (KafkaError, TimeoutError) as error:\n"
                    "                    if isinstance(error, (ProducerFenced, InvalidProducerEpoch)):\n"
                    "                        raise\n"
                    "                    await producer.abort_transaction()\n"
                    "                    continue\n"
                ),
            ),
        ),
        ("response_lost", "broker_error", "end_delayed"),
    ),
    Mutant(
        "uses its producer again after a time-out",
        "clearing.engine.processor",
        (
            (
                ("                stored = await self._transact(producer, machine, outputs)\n"),
                (
                    "                try:\n"
                    "                    stored = await self._transact(producer, machine, outputs)\n"
                    "                except TimeoutError:\n"
                    "                    producer._txn_manager.state = type(producer._txn_manager.state).READY\n"
                    "                    stored = await self._transact(producer, machine, outputs)\n"
                ),
            ),
        ),
        ("end_delayed", "response_lost"),
    ),
    Mutant(
        "writes the journal in a transaction of its own",
        "clearing.engine.processor",
        (
            (
                (
                    "            stored = await kafka.transact(producer, written, COMMIT_TIMEOUT_S)\n"
                ),
                (
                    "            stored = []\n"
                    "            if written[:-1]:\n"
                    "                stored = await kafka.transact(producer, written[:-1], COMMIT_TIMEOUT_S)\n"
                    "            stored += await kafka.transact(producer, written[-1:], COMMIT_TIMEOUT_S)\n"
                ),
            ),
        ),
        ("kill_at_point", "end_delayed"),
    ),
    Mutant(
        "recovers from what was never committed",
        "clearing.engine.processor",
        (
            (
                (
                    'reader = kafka.consumer(self.bootstrap, client=f"clearing-engine-{self.netting_set}")'
                ),
                (
                    'reader = kafka.consumer(self.bootstrap, client="x", isolation_level="read_uncommitted")'
                ),
            ),
        ),
        ("kill_at_point", "second_engine", "freeze"),
    ),
    Mutant(
        "goes on behind the journal's place",
        "clearing.engine.processor",
        (
            (
                ("        reader.seek(self.log, machine.next_offset)\n        ticker = Ticker"),
                ("        reader.seek(self.log, machine.next_offset + 1)\n        ticker = Ticker"),
            ),
        ),
        _KILLS,
    ),
    # --- recovery --------------------------------------------------------------------------------------------
    Mutant(
        "believes a snapshot of another history",
        "clearing.engine.recovery",
        (
            (
                ("        if machine.chain.hex() != said.chain:\n            _log.error("),
                ("        if False:\n            _log.error("),
            ),
        ),
        ("snapshot_foreign",),
    ),
    Mutant(
        "loads a snapshot without its checksum",
        "clearing.engine.snapshots",
        (((" or hashlib.sha256(body).digest() != digest:"), (":")),),
        ("snapshot_flipped",),
    ),
    Mutant(
        "has the host's clock decide in which window a payment is",
        "clearing.engine.machine",
        (
            (
                ('record = read(key, value or b"", offset, time_ms)'),
                ('record = read(key, value or b"", offset, int(__import__("time").time() * 1000))'),
            ),
        ),
        ("kill", "clock"),
    ),
    # --- the core --------------------------------------------------------------------------------------------
    Mutant(
        "takes the first row again of what was read twice",
        "clearing.core.payments",
        (
            (
                ("codes[rows.source_offset < marks] = Code.ALREADY_READ"),
                ("codes[rows.source_offset < marks - 1] = Code.ALREADY_READ"),
            ),
        ),
        ("kill_at_point",),
    ),
    Mutant(
        "takes an id twice",
        "clearing.core.payments",
        (
            (
                ("    new, again = np.flatnonzero(~recall.known), np.flatnonzero(recall.same)\n"),
                (
                    "    recall.known[:] = recall.same[:] = False\n"
                    "    new, again = np.flatnonzero(~recall.known), np.flatnonzero(recall.same)\n"
                ),
            ),
        ),
        (),
    ),
    # --- the ledger ------------------------------------------------------------------------------------------
    Mutant(
        "posts under an epoch that has passed to somebody else",
        "clearing.ledgers.postgres",
        ((('        if row["epoch"] > epoch:\n'), ("        if False:\n")),),
        ("second_sink", "freeze_at_point"),
    ),
    Mutant(
        "posts without a transaction",
        "clearing.ledgers.postgres",
        (
            (
                (
                    '        async with self._connection.transaction(isolation="read_committed"):\n'
                    "            progress = await self._locked_progress"
                ),
                ("        if True:\n            progress = await self._locked_progress"),
            ),
        ),
        (),
    ),
    Mutant(
        "confirms before it has posted",
        "clearing.ledgers.tenure",
        (
            (
                ("        posted = await ledger.post(self.source, self._held, records)\n"),
                (
                    "        for one in records:\n"
                    "            if isinstance(one, BatchRecord):\n"
                    "                said = Confirmation(\n"
                    "                    ledger=self._ledger_name, batch=one.batch.id, hash=one.batch.hash,\n"
                    "                    status='POSTED', reason='', epoch=self._held, short={})\n"
                    "                await producer.send_and_wait(\n"
                    "                    self._settings.topics.confirmations, _encode(said),\n"
                    "                    key=one.batch.id.encode(), partition=self.source.partition)\n"
                    "        posted = await ledger.post(self.source, self._held, records)\n"
                ),
            ),
        ),
        (),
    ),
    Mutant(
        "remembers a confirmation before it is out",
        "clearing.ledgers.tenure",
        (
            (
                (
                    "        async with asyncio.timeout(PUBLISH_TIMEOUT_S):\n            acknowledged"
                ),
                (
                    "        await ledger.mark_confirmed([one.batch for one in confirmations])\n"
                    "        async with asyncio.timeout(PUBLISH_TIMEOUT_S):\n            acknowledged"
                ),
            ),
        ),
        ("kill_at_point service=sink point=sink.confirmation.sent",),
    ),
    Mutant(
        "forgets confirmations that were not out when it died",
        "clearing.ledgers.tenure",
        (
            (
                (
                    "            while missed := await ledger.unconfirmed(self.source, CONFIRMATIONS_PER_PAGE):\n"
                ),
                ("            while missed := ():\n"),
            ),
        ),
        _SINK,
    ),
    Mutant(
        "starts where the topic ends, not where the ledger stands",
        "clearing.ledgers.tenure",
        (
            (
                ("            reader.seek(self._partition, progress.next_offset)\n"),
                ("            await reader.seek_to_end(self._partition)\n"),
            ),
        ),
        _SINK,
    ),
    # --- intake ----------------------------------------------------------------------------------------------
    Mutant(
        "commits what the log has not acknowledged",
        "clearing.intake.lane",
        (
            (
                ('            failpoints.at("intake.sent")\n'),
                (
                    '            failpoints.at("intake.sent")\n'
                    "            for span in packed.spans:\n"
                    "                self._acknowledged[TopicPartition(span.topic, span.partition)] = span.end\n"
                ),
            ),
        ),
        _REFUSED_TO_INTAKE,
    ),
    Mutant(
        "has two log records on their way",
        "clearing.intake.lane",
        (
            (
                (
                    "            await self._acknowledge()\n"
                    '            failpoints.at("intake.packed")\n'
                ),
                ('            failpoints.at("intake.packed")\n'),
            ),
        ),
        _REFUSED_TO_INTAKE,
    ),
    Mutant(
        "begins behind what it has committed",
        "clearing.intake.sources",
        ((("    start = max(known)\n"), ("    start = min(max(known) + 1, end)\n")),),
        _KILLS,
    ),
    # --- dispatch --------------------------------------------------------------------------------------------
    Mutant(
        "commits what no status topic has acknowledged",
        "clearing.dispatch.lane",
        (
            (
                ("        while self._deliveries and not self._deliveries[0].pending:\n"),
                ("        while self._deliveries:\n"),
            ),
        ),
        (
            "request_delayed target=dispatch-1 api=Produce delay_s=2",
            "kill_at_point service=dispatch point=dispatch.committed",
        ),
    ),
    Mutant(
        "numbers statuses from where it begins, not from their log record",
        "clearing.dispatch.lane",
        (
            (
                ("                start = start if before is None else before + 1\n"),
                ("                start = committed\n"),
            ),
        ),
        ("kill", "kill_at_point"),
    ),
)
