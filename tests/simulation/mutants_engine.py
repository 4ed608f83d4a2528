"""Mutants of the engine: its transactions, its recovery, its core. Simulated runs must catch each of them."""

from tests.simulation.mutant import Mutant

_KILLS = ("kill", "kill_at_point", "freeze_at_point")
_ENGINE = ("second_engine", "freeze", "kill_at_point", "end_delayed", "response_lost")

_FENCING = "            producer = await stack.enter_async_context(self._fenced_producer())\n"

ENGINE: tuple[Mutant, ...] = (
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
            (_FENCING, ""),
            (
                "past = await look_back(both, producer, self.written)",
                (
                    "from clearing.engine.past import Past, last_transactions\n"
                    "                both.committed.assign([self.journal])\n"
                    "                shown = await last_transactions(both.committed, self.journal)\n"
                    "                past = Past(shown, shown, {}, {})"
                ),
            ),
            (
                "            self._sequence = transaction.sequence if",
                f"{_FENCING}            self._sequence = transaction.sequence if",
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
        "recovers beside a transaction of its own that hangs",
        "clearing.engine.past",
        (
            (
                "await end_hanging(both, producer, partitions, _known(places, shown))",
                "{}",
            ),
        ),
        ("markers_lost",),
    ),
    Mutant(
        "writes again what readers have seen of a torn transaction",
        "clearing.engine.processor",
        (("            if past.torn:", "            if False:"),),
        ("markers_torn",),
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
                (
                    "                stored = await self._transact(producer, machine, outputs, ownership)\n"
                ),
                (
                    "                try:\n"
                    "                    stored = await self._transact(producer, machine, outputs, ownership)\n"
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
                (
                    "                stored = await self._transact(producer, machine, outputs, ownership)\n"
                ),
                (
                    "                try:\n"
                    "                    stored = await self._transact(producer, machine, outputs, ownership)\n"
                    "                except TimeoutError:\n"
                    "                    producer._txn_manager.state = type(producer._txn_manager.state).READY\n"
                    "                    stored = await self._transact(producer, machine, outputs, ownership)\n"
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
                "reader = kafka.consumer(self.bootstrap, client=self._client, **LOG_FETCH)",
                (
                    "reader = kafka.consumer(\n"
                    "            self.bootstrap, client=self._client, isolation_level='read_uncommitted',\n"
                    "            **LOG_FETCH)"
                ),
            ),
            (
                "past = await look_back(both, producer, self.written)",
                (
                    "past = await look_back(\n"
                    "                    type(both)(both.uncommitted, both.uncommitted), producer, self.written)"
                ),
            ),
        ),
        ("kill_at_point service=engine point=transact.acknowledged", "second_engine", "freeze"),
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
                ("        if machine.chain.hex() != said.chain:\n            doubt ="),
                ("        if False:\n            doubt ="),
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
        "clearing.core.checks",
        (
            (
                ("        if source_offset[row] < marks[s]:\n"),
                ("        if source_offset[row] < marks[s] - 1:\n"),
            ),
        ),
        ("kill target=intake-1", "kill_at_point service=intake point=intake.acknowledged"),
    ),
    Mutant(
        "takes an id twice",
        "clearing.core.payments",
        (
            (
                "    recall = state.ids.recall(_taken(rows.id, live), _taken(rows.body_hash, live), day)\n",
                (
                    "    recall = state.ids.recall(_taken(rows.id, live), _taken(rows.body_hash, live), day)\n"
                    "    recall.known[:] = recall.same[:] = False\n"
                ),
            ),
        ),
        (),
    ),
)
