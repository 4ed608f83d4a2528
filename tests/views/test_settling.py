"""Windows and batches as they are folded from journal and settlements: whatever is read first, and read twice."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.outputs import Event, SettlementBatch
from clearing.messages_views import BatchView, WindowView
from clearing.views.fold import Change
from clearing.views.fold_settling import BATCHES_KEPT, WINDOWS_KEPT, Settling
from tests.views import said
from tests.views.said import ASSET, LEDGER, SET, START_MS, batch, confirmation, identity, window

Said = Event | SettlementBatch


class Folded:
    """A fold, and what its topics hold."""

    def __init__(self) -> None:
        self.fold = Settling(SET)
        self.values: dict[bytes, msgspec.Struct] = {}
        self.flushed: dict[bytes, msgspec.Struct] = {}
        self.unsure: dict[str, list[Change]] = {
            "windows": [],
            "batches": [],
        }  # sent since the flush

    def take(self, said: Iterable[Said], first_offset: int = 0) -> "Folded":
        for offset, one in enumerate(said, first_offset):
            if isinstance(one, SettlementBatch):
                self._apply(self.fold.take_batch(one, "settlements", 0, offset))
            else:
                self._apply(self.fold.take_event(one, offset))
        return self

    def _apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.unsure[change.view].append(change)
            if change.value is None:
                del self.values[change.key]  # what is forgotten was there
            else:
                self.values[change.key] = change.value

    def restart(self) -> None:
        """Begin again with what the topics hold."""
        self.fold = Settling(SET, self.windows.values(), self.batches.values())

    def flush(self) -> None:
        """All that was sent stands in the topics: now offsets may be committed."""
        self.flushed = dict(self.values)
        for sent in self.unsure.values():
            sent.clear()

    def kill(self, arrived: Callable[[str, int], int]) -> None:
        """Of what was sent since, each topic has the first ones, so many of so many; then begin again."""
        self.values = dict(self.flushed)
        for view, sent in self.unsure.items():
            for change in sent[: arrived(view, len(sent))]:
                if change.value is None:
                    self.values.pop(change.key, None)
                else:
                    self.values[change.key] = change.value
        self.flush()
        self.restart()

    @property
    def windows(self) -> Mapping[tuple[str, int], WindowView]:
        found = (value for value in self.values.values() if isinstance(value, WindowView))
        return {(one.asset, one.window): one for one in found}

    @property
    def batches(self) -> Mapping[str, BatchView]:
        found = (value for value in self.values.values() if isinstance(value, BatchView))
        return {one.id: one for one in found}


def settled(number: int) -> list[Said]:
    """A window from opening to finality, in the engine's order."""
    return [
        window(number, "OPEN"),
        batch(number, number),
        window(number, "PENDING_SETTLEMENT"),
        window(number, "SETTLED"),
        confirmation(identity(number)),
    ]


def test_a_window_from_opening_to_finality() -> None:
    folded = Folded().take(settled(1)[:1])
    opened = folded.windows[ASSET, 1]
    assert (opened.state, opened.payments, opened.gross, opened.closed_at_ms) == (
        "OPEN", None, None, None,
    )  # fmt: skip
    assert opened.cutoff_ms == START_MS + 90_000

    folded.take(settled(1)[1:3], 1)
    pending = folded.windows[ASSET, 1]
    assert (pending.state, pending.payments, pending.gross) == ("PENDING_SETTLEMENT", 7, "70.00")
    assert (pending.sequence, pending.batch, pending.settled_at_ms) == (1, identity(1), None)
    assert pending.finality[LEDGER].state == "PENDING"
    assert (pending.opened_at_ms, pending.cutoff_ms) == (opened.opened_at_ms, opened.cutoff_ms)

    folded.take(settled(1)[3:], 3)
    final = folded.windows[ASSET, 1]
    assert (final.state, final.finality[LEDGER].state) == ("SETTLED", "FINAL")
    assert final.settled_at_ms == START_MS + 90_000
    assert (final.finality[LEDGER].batches, final.finality[LEDGER].posted) == (1, 1)
    assert folded.batches[identity(1)].state == "FINAL"


def test_a_batch_that_is_posted_waits_for_those_it_is_linked_to() -> None:
    """R20: the ledger has it, but the window is not final before the others."""
    folded = Folded().take(
        [window(1, "OPEN"), batch(1, 1), window(1, "PENDING_SETTLEMENT"), confirmation(identity(1))]
    )
    assert folded.batches[identity(1)].state == "POSTED"
    assert folded.windows[ASSET, 1].finality[LEDGER].state == "POSTED"
    folded.take([window(1, "SETTLED")], 4)
    assert folded.windows[ASSET, 1].finality[LEDGER].state == "FINAL"


def test_a_refused_window_is_settled_again_as_its_next_version() -> None:
    """The events of one refusal: the window's stands before the confirmation's."""
    first = [
        window(1, "OPEN"), batch(1, 1), window(1, "PENDING_SETTLEMENT"),
        window(1, "FAILED", reason="short"), confirmation(identity(1), reason="short"),
    ]  # fmt: skip
    folded = Folded().take(first)
    failed = folded.windows[ASSET, 1]
    assert (failed.state, failed.reason) == ("FAILED", "short")
    assert (failed.finality[LEDGER].state, failed.finality[LEDGER].reason) == ("REFUSED", "short")
    again = [
        window(1, "ABORTED", reason="short"),
        batch(2, 1, version=2),
        window(1, "PENDING_SETTLEMENT", version=2),
        window(1, "SETTLED", version=2),
        confirmation(identity(1, 2)),
    ]
    folded.take(again, len(first))
    assert {one.id: one.state for one in folded.batches.values()} == {
        identity(1): "ABORTED",
        identity(1, 2): "FINAL",
    }
    done = folded.windows[ASSET, 1]
    assert (done.version, done.sequence, done.finality[LEDGER].state) == (2, 2, "FINAL")


@pytest.mark.parametrize(("reason", "state"), [("", "FINAL"), ("no such account", "REFUSED")])
@pytest.mark.parametrize("answered_first", [False, True])
def test_prefunding_is_final_as_soon_as_it_is_posted(
    reason: str, state: str, answered_first: bool
) -> None:
    funding = batch(1, 0, kind="funding")
    told: list[Said] = [funding, confirmation(funding.id, reason=reason)]
    folded = Folded().take(reversed(told) if answered_first else told)
    [known] = folded.batches.values()
    assert (known.state, known.sequence, known.kind) == (state, 1, "funding")


def test_parts_of_a_window_are_final_together_and_the_worst_is_told() -> None:
    parts = [batch(n, 1, part=n, parts=3) for n in (1, 2, 3)]
    folded = Folded().take([window(1, "OPEN"), *parts, window(1, "PENDING_SETTLEMENT", part=1)])
    folded.take([confirmation(parts[1].id)], 5)
    told = folded.windows[ASSET, 1].finality[LEDGER]
    assert (told.state, told.batches, told.posted) == ("PENDING", 3, 1)
    folded.take([confirmation(parts[0].id), confirmation(parts[2].id)], 6)
    assert folded.windows[ASSET, 1].finality[LEDGER].state == "POSTED"
    folded.take([window(1, "SETTLED", part=1)], 8)
    assert {one.state for one in folded.batches.values()} == {"FINAL"}
    assert folded.windows[ASSET, 1].sequence == 1


def story() -> tuple[list[Event], list[SettlementBatch]]:
    """Windows that settle, one that is refused and settled again, one in parts, one under way; prefunding."""
    funding = batch(7, 0, kind="funding")
    parts = [batch(4 + n, 4, part=n, parts=2) for n in (1, 2)]
    journal: list[Event] = []
    for number in (1, 2):
        journal += [one for one in settled(number) if not isinstance(one, SettlementBatch)]
    journal += [
        window(3, "OPEN"), window(3, "PENDING_SETTLEMENT"), window(3, "ABORTED", reason="short"),
        window(3, "PENDING_SETTLEMENT", version=2), confirmation(identity(3), reason="short"),
        window(4, "OPEN"), window(4, "PENDING_SETTLEMENT", part=1), confirmation(parts[0].id),
        confirmation(parts[1].id), window(4, "SETTLED", part=1), window(3, "SETTLED", version=2),
        confirmation(identity(3, 2)), confirmation(funding.id), window(5, "OPEN"),
        window(5, "PENDING_SETTLEMENT"), window(6, "OPEN"),
    ]  # fmt: skip
    batches = [batch(1, 1), batch(2, 2), batch(3, 3), batch(4, 3, version=2), *parts, funding]
    return journal, [*batches, batch(8, 5)]


def in_one_go(journal: Sequence[Event], batches: Sequence[SettlementBatch]) -> Folded:
    return Folded().take(journal).take(batches)


class Reading:
    """Where a reader of both topics stands, which have no order between them."""

    def __init__(self) -> None:
        self.journal, self.batches = story()
        self.folded = Folded()
        self.places = {"journal": 0, "settlements": 0}

    @property
    def is_done(self) -> bool:
        return self.places == {"journal": len(self.journal), "settlements": len(self.batches)}

    def read_one(self, topic: str) -> None:
        """The next record of a topic, if there is one."""
        records = self.journal if topic == "journal" else self.batches
        place = self.places[topic]
        if place < len(records):
            self.folded.take([records[place]], place)
            self.places[topic] += 1


@given(seed=st.integers(0, 10_000))
def test_whatever_is_read_first_and_however_often_the_same_comes_out(seed: int) -> None:
    """A reader is set back in each topic, to any place before, and some of the time what was folded is known from
    the topics alone."""
    chance, reading = random.Random(seed), Reading()
    expected = in_one_go(reading.journal, reading.batches)
    while not reading.is_done:
        if chance.random() < 0.1:
            if chance.random() < 0.5:
                reading.folded.restart()
            reading.places = {
                name: chance.randint(0, place) for name, place in reading.places.items()
            }
        reading.read_one(chance.choice(list(reading.places)))
    assert reading.folded.windows == expected.windows
    assert reading.folded.batches == expected.batches
    states = {one.state for one in reading.folded.batches.values()}
    assert states == {"FINAL", "ABORTED", "PENDING"}


@given(seed=st.integers(0, 10_000), journal_first=st.sampled_from([0.02, 0.5, 0.98]))
def test_killed_while_its_changes_are_on_their_way_the_same_comes_out(
    seed: int, journal_first: float
) -> None:
    """A record changes values of both topics, and they do not arrive together: what is lost is made again, also
    where the other topic was read and committed long ago."""
    chance, reading = random.Random(seed), Reading()
    expected = in_one_go(reading.journal, reading.batches)
    committed = dict(reading.places)
    while not reading.is_done:
        if (drawn := chance.random()) < 0.15:
            reading.folded.flush()
            committed = dict(reading.places)
        elif drawn < 0.3:
            reading.folded.kill(lambda _, sent: chance.randint(0, sent))
            reading.places = dict(committed)
        reading.read_one("journal" if chance.random() < journal_first else "settlements")
    assert reading.folded.windows == expected.windows
    assert reading.folded.batches == expected.batches


def test_killed_before_its_window_knows_a_batch_is_still_posted_there() -> None:
    told = [window(1, "OPEN"), batch(1, 1), window(1, "PENDING_SETTLEMENT")]
    folded = Folded().take(told)
    folded.flush()
    answer = [confirmation(identity(1))]
    folded.take(answer, len(told))
    folded.kill(lambda view, sent: sent if view == "batches" else 0)
    assert folded.batches[identity(1)].state == "POSTED"
    assert folded.windows[ASSET, 1].finality[LEDGER].state == "PENDING"
    assert folded.take(answer, len(told)).windows[ASSET, 1].finality[LEDGER].state == "POSTED"


def test_old_ones_are_forgotten_but_never_what_is_not_over() -> None:
    number_of = max(WINDOWS_KEPT, BATCHES_KEPT) + 20
    stuck = 3
    told: list[Said] = []
    for number in range(1, number_of + 1):
        told += settled(number)[: 3 if number == stuck else 5]
    folded = Folded().take(told)
    assert len(folded.windows) == WINDOWS_KEPT + 1
    assert len(folded.batches) == BATCHES_KEPT + 1
    assert folded.windows[ASSET, stuck].state == "PENDING_SETTLEMENT"
    # Read again from before, nothing comes back.
    before = folded.values.copy()
    folded.restart()
    folded.take(told[: 5 * 10])
    assert {key: folded.values[key] for key in before} == before
    assert {one.id for one in folded.batches.values() if one.sequence} == {
        one.id for one in before.values() if isinstance(one, BatchView)
    }
    # Once it is over, it goes too.
    folded.take([window(stuck, "SETTLED")], len(told))
    assert (ASSET, stuck) not in folded.windows
    assert identity(stuck) not in folded.batches


def test_events_of_no_window_change_nothing() -> None:
    folded = Folded().take([said.command(1), confirmation("00" * 16, status="REPEATED")])
    assert folded.values == {}
