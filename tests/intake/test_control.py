"""Commands and confirmations are read as strictly as payments."""

from collections.abc import Mapping

import msgspec
import pytest
import xxhash

from clearing.core.commands import (
    Confirmation,
    ControlMessage,
    Propose,
    RegisterParticipant,
    SetCap,
    SetCutoffs,
)
from clearing.core.inputs import ControlItem
from clearing.core.reasons import Code
from clearing.intake.control import MAX_NUMBER, read

COMMAND = {
    "type": "register_participant",
    "id": "op:1",
    "by": "alice@ops",
    "participant": "ALPHHKHH",
}
CONFIRMATION = {
    "type": "confirmation",
    "ledger": "postgres",
    "batch": "b1",
    "hash": "00ff",
    "status": "POSTED",
}


LIMIT = {
    "type": "set_bilateral_limit",
    "id": "l:1",
    "by": "alice@ops",
    "participant": "ALPHHKHH",
    "counterparty": "BETAHKHH",
    "asset": "HKD",
    "limit": None,
}
APPROVAL = {"type": "approve", "id": "a:1", "by": "bob@ops", "proposal": "p:1", "hash": "00"}
PROPOSAL = {
    "type": "propose",
    "id": "p:1",
    "by": "alice@ops",
    "command": {
        "type": "set_cap",
        "id": "c:1",
        "by": "alice@ops",
        "participant": "ALPHHKHH",
        "asset": "HKD",
        "net_debit_cap": "5",
    },
}


def encoded(document: Mapping[str, object], **changes: object) -> bytes:
    return msgspec.json.encode({**document, **changes})


def accepted(value: bytes) -> ControlMessage:
    item = read(2, 7, value)
    assert item.message is not None, item.reject
    assert item == ControlItem(source=2, offset=7, message=item.message)
    return item.message


def test_a_command_and_a_confirmation_are_read() -> None:
    assert accepted(encoded(COMMAND)) == RegisterParticipant(
        id="op:1", by="alice@ops", participant="ALPHHKHH"
    )
    assert accepted(encoded(CONFIRMATION)) == Confirmation(
        ledger="postgres", batch="b1", hash="00ff", status="POSTED"
    )


def test_a_proposal_carries_a_command() -> None:
    """R33."""
    message = accepted(encoded(PROPOSAL))
    assert isinstance(message, Propose)
    assert message.command == SetCap(
        id="c:1", by="alice@ops", participant="ALPHHKHH", asset="HKD", net_debit_cap="5"
    )


def test_who_is_short_is_named_by_participant() -> None:
    """R25."""
    message = accepted(encoded(CONFIRMATION, status="REFUSED", short={"ALPHHKHH": "12.50"}))
    assert isinstance(message, Confirmation)
    assert message.short == {"ALPHHKHH": "12.50"}


def test_a_name_may_be_of_any_script() -> None:
    message = accepted(encoded(COMMAND, name="甲銀行 – Société à Ålesund"))
    assert isinstance(message, RegisterParticipant)
    assert message.name == "甲銀行 – Société à Ålesund"


def test_a_number_as_large_as_any_time_is_read() -> None:
    cutoffs = {
        "type": "set_cutoffs",
        "id": "c",
        "by": "ops",
        "asset": "HKD",
        "cutoffs_ms": [MAX_NUMBER],
    }
    assert accepted(msgspec.json.encode(cutoffs)) == SetCutoffs(
        id="c", by="ops", asset="HKD", cutoffs_ms=[MAX_NUMBER]
    )


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", Code.EMPTY),
        (b"\xef\xbb\xbf" + encoded(COMMAND), Code.ENCODING),
        (encoded(COMMAND) + b"{}", Code.SYNTAX),
        (b"[" * 100_000, Code.SYNTAX),
        (encoded(COMMAND)[:-1] + b',"id":"op:2"}', Code.DUPLICATE_KEY),
        (b"[]", Code.FIELD),
        (encoded(COMMAND, type=1), Code.FIELD),
        (encoded(COMMAND, type="drop_everything"), Code.VERSION),
        (encoded(COMMAND, note="x"), Code.FIELD),
        (encoded(COMMAND, by=1), Code.FIELD),
        (encoded(CONFIRMATION, status="MAYBE"), Code.FIELD),
        (encoded(CONFIRMATION, epoch=MAX_NUMBER + 1), Code.FIELD),
        (encoded(CONFIRMATION, epoch=0)[:-2] + b"9" * 5_000 + b"}", Code.FIELD),
        (encoded(CONFIRMATION, epoch=0)[:-2] + b"1.0}", Code.FIELD),
        (encoded(COMMAND, id=""), Code.CHARACTER),
        (encoded(COMMAND, id="a" * 65), Code.CHARACTER),
        (encoded(COMMAND, id="a\nb"), Code.CHARACTER),
        (encoded(COMMAND, id="../../etc"), Code.CHARACTER),
        (encoded(COMMAND, by="alice ops"), Code.CHARACTER),
        (encoded(COMMAND, participant="ALPH.HKHH"), Code.CHARACTER),
        (encoded(COMMAND, participant="\u0410LPHHKHH"), Code.CHARACTER),
        (encoded(COMMAND, name="a\x1b[31m"), Code.CHARACTER),
        (encoded(COMMAND, name="a\u202eb"), Code.CHARACTER),
        (encoded(COMMAND, name="a" * 501), Code.CHARACTER),
        (encoded(CONFIRMATION, ledger="pöstgres"), Code.CHARACTER),
        (encoded(CONFIRMATION, short={"A\n": "1"}), Code.CHARACTER),
        (encoded(CONFIRMATION, short={"<script>": "1"}), Code.CHARACTER),
        (encoded(CONFIRMATION, short={"ALPHHKHH": 1}), Code.FIELD),
        (encoded(LIMIT, counterparty="BETA.HKHH"), Code.CHARACTER),
        (encoded(PROPOSAL, command=PROPOSAL), Code.FIELD),
        (encoded(PROPOSAL, command={**COMMAND, "note": 1}), Code.FIELD),
        (encoded(PROPOSAL, command={**COMMAND, "by": "a b"}), Code.CHARACTER),
        (encoded(APPROVAL, proposal="p 1"), Code.CHARACTER),
        (encoded(COMMAND) + b" " * (1 << 20), Code.TOO_LARGE),
    ],
    ids=lambda value: "" if isinstance(value, Code) else None,
)
def test_what_cannot_be_read_is_an_item_with_its_reason(value: bytes, code: Code) -> None:
    item = read(0, 7, value)
    assert item.message is None
    assert item.reject is not None
    assert (item.offset, item.reject.code) == (7, code)
    assert item.reject.hash == xxhash.xxh3_128_hexdigest(value)
    assert item.reject.detail.isascii()


@pytest.mark.parametrize("number", ["1e3", "1.0", "-1.5", "1E400"])
def test_a_number_that_is_no_integer_is_no_number(number: str) -> None:
    value = encoded(CONFIRMATION, epoch=0)[:-2] + number.encode() + b"}"
    reject = read(0, 0, value).reject
    assert reject is not None
    assert reject.code == Code.FIELD
