"""Files of everything that banks send: whose each line is, where it belongs, and what intake would refuse in it."""

import csv
import json
from pathlib import Path

import pytest

from clearing.cli.payment_files import Address, Checked, checked
from tests.intake.build import (
    OTHER_ID,
    PAYMENT,
    answer,
    bulk,
    cancel,
    link,
    payment,
    priority,
    refund,
    transfer,
)

ALPHA = Address("ALPHHKHH", "HKD")
BETA = Address("BETAHKHH", "HKD")


def check(path: Path) -> Checked:
    [chunk] = checked(path)
    return chunk


@pytest.mark.parametrize(
    ("message", "address"),
    [
        (payment(link=link()), ALPHA),
        (refund(), BETA),
        (cancel(), ALPHA),
        (cancel(original=refund()), BETA),
        (priority(), Address("ALPHHKHH", "")),
        (answer(), Address("BETAHKHH", "")),
        (bulk([priority(), cancel(), PAYMENT], "12.50"), ALPHA),
        (bulk([priority(), priority()], "0"), Address("ALPHHKHH", "")),
        (payment(link=link(legs=[])), Address("", "")),
    ],
    ids=["leg", "return", "cancel", "cancel of a return", "priority", "answer", "bulk", "no asset", "bad"],
)  # fmt: skip
def test_a_line_belongs_to_who_sends_it(
    tmp_path: Path, message: dict[str, object], address: Address
) -> None:
    """And to its asset, or that of the first item of a bulk that has one; an instruction may have none."""
    file = tmp_path / "messages.jsonl"
    file.write_text("\n".join(json.dumps(one) for one in (PAYMENT, message, PAYMENT)))
    chunk = check(file)
    assert chunk.addresses == [ALPHA, address, ALPHA]
    assert [one.line for one in chunk.bad] == ([] if address.owner else [2])


def test_csv_has_types_and_objects_in_cells(tmp_path: Path) -> None:
    """What is no string in JSON is JSON in its cell; a type is only needed where it is no payment."""
    messages = [
        payment(type=..., link=link()),
        transfer(type=..., link=link()),
        refund(),
        cancel(),
        priority(),
        answer(),
        cancel(original=..., reason="CUST"),
        cancel(original="{"),
    ]
    names = list(dict.fromkeys(name for message in messages for name in message))
    file = tmp_path / "messages.csv"
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, names)
        writer.writeheader()
        for message in messages:
            cells = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in message.items()}
            writer.writerow(cells)
    chunk = check(file)
    assert [(one.line, one.reason) for one in chunk.bad] == [(8, "XFLD"), (9, "XSYN")]
    kinds = ["payment", "token_transfer", "return", "cancel", "priority", "answer"]
    assert [json.loads(value)["type"] for value in chunk.values[:6]] == kinds
    assert json.loads(chunk.values[0])["link"] == link()
    assert json.loads(chunk.values[3]) == cancel()
    assert json.loads(chunk.values[4])["id"] == OTHER_ID
