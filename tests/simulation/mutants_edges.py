"""Mutants of what surrounds the engine: ledger sink, intake, dispatch. Simulated runs must catch each of them."""

from tests.simulation.mutant import Mutant

_KILLS = ("kill", "kill_at_point", "freeze_at_point")
_REFUSED_TO_INTAKE = (
    "broker_error target=intake-1 api=Produce error=UNKNOWN",
    "request_delayed target=intake-1 api=Produce delay_s=0.4",
)
_SINK = ("kill_at_point", "kill", "session_dies", "reply_lost", "commit_lost")

EDGES: tuple[Mutant, ...] = (
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
        ("kill_at_point service=sink point=sink.posted",),
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
)
