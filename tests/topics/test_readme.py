"""The columnar formats as topics/README.md describes them are those that are written."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from clearing.core.inputs import Kind, Links, References, Reject, SourceSpan
from clearing.core.outputs import Outcomes
from clearing.core.reasons import REASONS
from clearing.log import payments, records
from clearing.topics.contract import contract_folder, read_contract

README = (contract_folder() / "README.md").read_text("utf-8")


def table(heading: str) -> dict[str, tuple[str, str]]:
    """Column → (Arrow type, default) of the table below a heading."""
    section = README.split(f"\n## {heading}")[1].split("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return {
        name: (kind.strip(), default.strip())
        for _, names, kind, default, *_ in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def described(schema: pa.Schema) -> dict[str, str]:
    """Arrow types as the text has them."""
    names = {
        "string": "utf8",
        "fixed_size_binary[16]": "fixed_size_binary(16)",
        "dictionary<values=string, indices=int32, ordered=0>": "dictionary(int32, utf8)",
    }
    return {field.name: names.get(str(field.type), str(field.type)) for field in schema}


def packed(**changes: Any) -> bytes:
    """Two rows with all columns at their defaults, but for `changes`."""
    numbers = {
        name: np.full(2, default, kind) for name, (kind, default) in {
            "amount": (np.int64, 1), "decimals": (np.uint8, 0), "value_date": (np.int32, 0),
            "priority": (np.uint8, 0), "kind": (np.uint8, 1), "expires_at_ms": (np.int64, 0),
            "window": (np.int32, 0), "source": (np.int32, 0), "source_offset": (np.int64, 0),
            "item": (np.int32, -1), "reject": (np.uint8, 0),
        }.items()
    }  # fmt: skip
    texts: dict[str, Any] = {
        name: ["A", "B"] for name in ("debtor", "creditor", "asset", "end_to_end_id")
    }
    columns = {"id": np.zeros((2, 16), np.uint8), "chain_reference": None, **texts, **numbers}
    rows = payments.RowBatch(**(columns | changes))
    return payments.pack(rows, [SourceSpan("t", 0, 0, 2)])


def test_columns_of_payments() -> None:
    told = table("payments/1")
    changed = {
        name: np.array([1, 7], kind)
        for name, (kind, default) in told.items()
        if default and name in payments.RowBatch.__slots__ and "int" in kind
    }
    changed |= {"priority": np.array([1, 2], np.uint8), "kind": np.array([1, 3], np.uint8)}
    changed |= {"reject": np.array([10, 0], np.uint8)}
    words, bytes_ = np.array([[0, 0], [1, 2]], np.uint64), np.array([0, 2], np.uint8)
    value = packed(
        **changed,
        chain_reference=["x", ""],
        rejects={0: Reject(code=10, hash="", detail="")},
        links=Links(words, words, bytes_, bytes_, bytes_),
        references=References(words, words[:, 0], np.array([0, 5]), bytes_, bytes_),
        reason=["", "AC04"],
    )
    assert described(payments.open_batch(value).batch.schema) == {
        name: kind for name, (kind, _) in told.items()
    }


def test_defaults_of_payments() -> None:
    told = table("payments/1")
    absent = {name: default for name, (_, default) in told.items() if default}
    opened = payments.open_batch(packed())
    assert set(opened.batch.schema.names) == told.keys() - absent.keys()
    for name, default in absent.items():
        if default == '""':
            assert opened.texts(name) == ["", ""], name
        elif told[name][0] == "fixed_size_binary(16)":
            assert opened.ids(name).tolist() == [[int(default)] * 2] * 2, name
        else:
            assert opened.numbers(name).tolist() == [int(default)] * 2, name


def test_kinds_are_those_the_text_names() -> None:
    told = re.search(r"\| `kind` \|[^|]*\|[^|]*\| ([^|]*)\|", README)
    assert told is not None
    said = dict(part.strip().split(" ", 1) for part in told[1].split(","))
    assert {int(number): name.replace(" ", "_").upper() for number, name in said.items()} == {
        kind.value: kind.name for kind in Kind
    }
    types = {kind.name.lower() for kind in Kind}
    assert {*read_contract().topics["payments"].values} == types | {"bulk"}


@pytest.mark.parametrize("repeat", [[False, False], [True, False]])
def test_columns_of_outcomes(repeat: list[bool]) -> None:
    told = {name: kind for name, (kind, _) in table("outcomes/1").items()}
    outcomes = Outcomes(7, 9, np.array([0, 58], np.uint8), np.array(repeat), {"HKD": 3})
    batch = pa.ipc.open_stream(records.encode_outcomes("hk", outcomes)).read_next_batch()
    found = {field.name: str(field.type) for field in batch.schema}
    assert found == (told if any(repeat) else {"code": told["code"]})


def test_codes_are_where_the_text_says() -> None:
    assert "10–39 could not be read, 40–99 refused" in README
    assert {code // 10 for code in REASONS} <= set(range(1, 10))
