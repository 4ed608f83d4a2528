"""The contract in any language: schemas as the types are, golden samples that hold them, and one list of both."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from clearing.core.inputs import Kind
from clearing.core.outputs import SettlementBatch
from clearing.intake import control, exact, links
from clearing.intake.fields import Row
from clearing.messages import Bulk, Link, Payment, TokenTransfer
from clearing.topics import constraints
from clearing.topics.contract import contract_folder, read_contract
from clearing.topics.schemas import MESSAGES, documents, schema_of, write

FOLDER = contract_folder()
SAMPLES = {file.stem: file.read_bytes() for file in sorted((FOLDER / "samples").glob("*.json"))}
TOLD = json.loads(SAMPLES["return.linked"])["original"]["link"]  # as a receipt has it


def kind_of(sample: str) -> str:
    """payment.minimal is another sample of payment."""
    return sample.split(".")[0]


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(name), format_checker=FormatChecker())


VALIDATORS = {name: validator(name) for name in MESSAGES}


def test_what_is_kept_is_what_the_types_say() -> None:
    """After a change of a message: python -m clearing.topics.schemas, and look at the difference."""
    kept = {
        file.relative_to(FOLDER).as_posix(): file.read_text("utf-8")
        for file in [*(FOLDER / "schemas").iterdir(), FOLDER / "asyncapi.json"]
    }
    wanted = documents()
    assert kept.keys() == wanted.keys()
    assert [path for path, text in wanted.items() if kept[path] != text] == []


def test_writing_puts_right_what_has_drifted(tmp_path: Path) -> None:
    assert write(tmp_path) == list(documents())
    (tmp_path / "schemas" / "fund.json").write_text("{}")
    (tmp_path / "schemas" / "gone.json").write_text("{}")
    assert sorted(write(tmp_path)) == ["schemas/fund.json", "schemas/gone.json"]
    assert write(tmp_path) == []


@pytest.mark.parametrize("name", MESSAGES)
def test_every_schema_is_one_and_has_samples_of_all_its_fields(name: str) -> None:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    samples = [json.loads(text) for sample, text in SAMPLES.items() if kind_of(sample) == name]
    assert samples
    shown = {field for sample in samples for field in sample}
    assert shown == set(schema["properties"])


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_is_valid_and_survives_reading_and_writing(sample: str) -> None:
    """Golden: what was stored or sent once is read for ever, and is written the same."""
    name, text = kind_of(sample), SAMPLES[sample]
    assert [error.message for error in VALIDATORS[name].iter_errors(json.loads(text))] == []
    value = msgspec.json.decode(text, type=MESSAGES[name])
    assert msgspec.json.encode(value) == msgspec.json.format(text, indent=-1)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if kind_of(s) == "settlement_batch"])
def test_the_hash_of_a_settlement_batch_is_made_as_its_description_says(sample: str) -> None:
    """R7: any ledger can check it: SHA-256 of the message as it is sent, with "hash":"" in it."""
    sent = msgspec.json.format(SAMPLES[sample], indent=-1)
    said = json.loads(sent)["hash"]
    hashed = sent.replace(f'"hash":"{said}"'.encode(), b'"hash":""')
    assert len(hashed) == len(sent) - 64
    assert hashlib.sha256(hashed).hexdigest() == said
    batch = msgspec.json.decode(sent, type=SettlementBatch)
    assert sum(int(entry.net.replace(".", "")) for entry in batch.entries) == 0  # R1


# Each row: a sample, the path of a value in it, and what may not stand there (FAULTS.md, bad input).
@pytest.mark.parametrize(
    ("sample", "path", "value"),
    [
        ("payment", ["id"], "6F9C1C1E-53A4-4C0B-9B52-0F3B8A7D1E01"),
        ("payment", ["id"], "6f9c1c1e-53a4-1c0b-9b52-0f3b8a7d1e01"),
        ("payment", ["debtor"], "АURAHKHH"),  # Cyrillic
        ("payment", ["creditor"], "A"),
        ("payment", ["asset"], "HK\0D"),
        *(
            ("payment", ["amount"], amount)
            for amount in (12.5, 12, "0", "0.00", "-1", "01", "1e2", "1_0", " 1", "1.", ".5", "+1",
                           "NaN", "Infinity", "١", "9" * 19, "0." + "1" * 19, "1" * 10 + "." + "1" * 9)
        ),
        ("payment", ["value_date"], "2026-02-30"),
        ("payment", ["value_date"], "23.11.2026"),
        ("payment", ["end_to_end_id"], " x"),
        ("payment", ["end_to_end_id"], "x" * 36),
        ("payment", ["priority"], "LOW"),
        ("payment", ["expires_at"], "2026-11-23T17:00:00"),
        ("payment", ["expires_at"], "2026-11-23T17:00:60Z"),
        ("payment", ["expires_at"], "2026-11-23T17:00:00.123456789Z"),
        ("payment", ["window"], 0),
        ("payment", ["version"], 2),
        ("payment", ["unknown"], 1),
        ("token_transfer", ["chain_reference"], "<script>"),
        ("bulk", ["count"], 0),
        ("bulk", ["items"], []),
        ("bulk", ["items", 0, "amount"], 300),
        ("open_account", ["net_debit_cap"], "-1"),
        ("open_account", ["overdraft"], "-1"),
        ("register_asset", ["asset", "scale"], 10),
        ("set_status", ["status"], "ABSENT"),
        ("set_bilateral_limit", ["limit"], "-1"),
        ("set_valuation", ["haircut_bp"], 10_001),
        ("register_pair", ["model"], 4),
        ("release_queued", ["payments"], []),
        ("release_queued", ["payments", 0], "x"),
        ("propose", ["command", "type"], "suspend"),
        ("approve", ["hash"], "00"),
        ("confirmation.refused", ["short"], {"AURAHKHH": "-1"}),
        ("confirmation.refused", ["short"], {"<script>": "1"}),
        ("payment.linked", ["link", "id"], "trade-1"),
        ("payment.linked", ["link", "legs"], []),
        ("payment.linked", ["link", "legs", 0, "amount"], "0"),
        ("payment.linked", ["link", "legs", 0, "debtor"], "a"),
        ("payment.linked", ["link", "partial"], "yes"),
        ("payment.linked", ["link"], TOLD),
        ("token_transfer.linked", ["link"], TOLD),
        ("bulk", ["items", 0, "link"], TOLD),
        ("return.linked", ["original", "link", "terms"], "00"),
        ("return.linked", ["original", "link", "leg"], 16),
        ("return.linked", ["original", "link", "legs"], 1),
        ("return.linked", ["original", "link"], {**TOLD, "legs": 17}),
        ("return.linked", ["original", "link"], {"id": TOLD["id"], "legs": 2}),
        ("return.linked", ["original", "link"], {"id": TOLD["id"], "legs": 2, "leg": 0}),
        ("cancel.linked", ["original", "link", "terms"], TOLD["terms"]),
        ("cancel.linked", ["original", "link", "leg"], 0),
        ("return", ["reason"], "too long"),
        ("return", ["original", "type"], "cancel"),
        ("cancel", ["original"], "0b8a4a52-7f1d-4d0e-8c3c-2d1f5e6a7b02"),
        ("priority", ["priority"], "LOW"),
        ("answer", ["decision"], "MAYBE"),
        ("resolutions", ["items", 0, "how"], "MAGIC"),
        ("close_window", ["by"], "Jane Doe"),
        ("confirmation", ["hash"], "00"),
        ("settlement_batch", ["entries", 0, "participant"], "$OTHER"),
        ("window_event", ["state"], "DONE"),
    ],
)  # fmt: skip
def test_what_a_schema_refuses(sample: str, path: list[str | int], value: object) -> None:
    document = json.loads(SAMPLES[sample])
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not VALIDATORS[kind_of(sample)].is_valid(document)


def test_a_quoted_link_may_stand_as_a_receipt_tells_it() -> None:
    """R5: in what a return or a cancellation quotes, by itself or in a bulk; intake says the same."""
    back, cancel = (json.loads(SAMPLES[name]) for name in ("return.linked", "cancel.linked"))
    cancel["original"]["link"] = TOLD | {"leg": 1}
    bulk = {
        "type": "bulk",
        "id": TOLD["id"],
        "count": 2,
        "control_sum": "300",
        "items": [back, cancel],
    }
    for name, document in (("return", back), ("cancel", cancel), ("bulk", bulk)):
        assert [error.message for error in VALIDATORS[name].iter_errors(document)] == []
        assert read_by_intake(document)


@pytest.mark.parametrize("field", schema_of("payment")["required"])
def test_a_payment_without_a_required_field_is_not_valid(field: str) -> None:
    document = json.loads(SAMPLES["payment"])
    del document[field]
    assert not VALIDATORS["payment"].is_valid(document)


def read_by_intake(document: dict[str, Any]) -> bool:
    rows = exact.read(msgspec.json.encode(document))
    return all(isinstance(row, Row) for _, row in rows)


# Values near the border of what is allowed, for any field. Days and times that exist: a pattern cannot tell.
VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            "A",
            "AB",
            "HKD",
            "x" * 35,
            "x" * 36,
            "a b",
            " a",
            "a ",
            "AURA-HK_1",
            "_A",
            "0",
            "0.0",
            "0.10",
        ]
    ),
    st.sampled_from(
        ["1" * 18, "1" * 19, "0." + "1" * 18, "1." + "0" * 17, "10." + "0" * 17, "00.1", "1.5"]
    ),
    st.sampled_from(
        ["2026-11-23", "2026-11-23T10:00:00Z", "2026-11-23T10:00:00.5+08:00", "NORM", "URGT"]
    ),
    st.sampled_from([0, 1, 2, -1, 2**31 - 1, 2**31, None, True, [], {}]),
    st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,20})?", fullmatch=True),
    st.text(st.characters(codec="ascii"), max_size=40),
    st.uuids(version=4).map(str),
)


@given(
    st.sampled_from(["payment", "payment.minimal", "token_transfer"]),
    st.sampled_from([*Payment.__struct_fields__, "chain_reference", "type"]),
    VALUES,
)
def test_schema_and_intake_agree_on_payments(sample: str, field: str, value: object) -> None:
    """Two authorities that differ would refuse at the door what was valid at the sender's, or the reverse."""
    if isinstance(value, str) and value.endswith("\n"):
        value = value[:-1]  # Python's $ matches before it, that of ECMA-262 does not
    document = json.loads(SAMPLES[sample]) | {field: value}
    assert VALIDATORS[kind_of(sample)].is_valid(document) == read_by_intake(document)


@given(
    st.sampled_from(["priority", "answer", "answer.agreed"]),
    st.sampled_from(
        [
            "debtor",
            "creditor",
            "payment",
            "request",
            "decision",
            "reason",
            "priority",
            "version",
            "type",
        ]
    ),
    VALUES | st.sampled_from(["AGREED", "AC04"]),
)
def test_schema_and_intake_agree_on_instructions(sample: str, field: str, value: object) -> None:
    if isinstance(value, str) and value.endswith("\n"):
        value = value[:-1]
    document = json.loads(SAMPLES[sample]) | {field: value}
    assert VALIDATORS[kind_of(sample)].is_valid(document) == read_by_intake(document)


@given(
    st.sampled_from(
        [
            "payment.linked",
            "token_transfer.linked",
            "return",
            "return.linked",
            "cancel",
            "cancel.linked",
        ]
    ),
    st.lists(st.sampled_from(["link", "original", "legs", 0, 1]), max_size=3),
    st.sampled_from(
        [*Payment.__struct_fields__, *Link.__struct_fields__, "original", "chain_reference"]
    ),
    VALUES,
)
def test_what_intake_reads_is_valid(
    sample: str, path: list[str | int], field: str, value: object
) -> None:
    """The other way does not hold: no schema says that a payment is one of the legs, or fits what it quotes."""
    document = json.loads(SAMPLES[sample])
    place: Any = document
    for step in path:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            place = place[step]
    if isinstance(place, list):
        place = place[0]
    place[field] = value[:-1] if isinstance(value, str) and value.endswith("\n") else value
    if read_by_intake(document):
        assert [error.message for error in VALIDATORS[kind_of(sample)].iter_errors(document)] == []


@pytest.mark.parametrize(
    "sample", [s for s in SAMPLES if kind_of(s) in read_contract().topics["payments"].values]
)
def test_intake_reads_the_samples(sample: str) -> None:
    assert read_by_intake(json.loads(SAMPLES[sample]))


@pytest.mark.parametrize(
    "sample",
    [
        s
        for s in SAMPLES
        if kind_of(s) in {*read_contract().topics["commands"].values, "confirmation"}
    ],
)
def test_intake_reads_the_samples_of_commands(sample: str) -> None:
    assert control.read(0, 0, SAMPLES[sample]).reject is None


def test_bounds_that_are_written_down_twice_are_the_same() -> None:
    assert exact.MAX_BULK_ITEMS == constraints.MAX_BULK_ITEMS
    assert (links.MIN_LEGS, links.MAX_LEGS) == (constraints.MIN_LEGS, constraints.MAX_LEGS)
    kinds = {kind.value for kind in Kind}
    assert kinds == set(range(min(kinds), max(kinds) + 1))  # the bounds of a resolution's kind
    fields = {*Payment.__struct_fields__, *TokenTransfer.__struct_fields__, *Bulk.__struct_fields__}
    assert fields >= {name for kind in (Payment, Bulk) for name in constraints.BY_TYPE[kind]}


def test_no_constraint_is_left_over() -> None:
    """Each one applies to a field that some message has."""
    properties = set[str]()
    for name in MESSAGES:
        schema = schema_of(name)
        for part in [schema, *schema.get("$defs", {}).values()]:
            properties |= set(part.get("properties", ()))
    assert set(constraints.BY_NAME) <= properties
    for kind, fields in constraints.BY_TYPE.items():
        assert set(fields) <= set(getattr(kind, "__struct_encode_fields__", ())), kind


def test_topics_and_schemas_name_the_same_messages() -> None:
    listed = {value for spec in read_contract().topics.values() for value in spec.values}
    assert {value for value in listed if not value.startswith("arrow:")} == set(MESSAGES)


def references(document: object) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(document, list):
        for value in document:
            yield from references(value)


def test_everything_the_asyncapi_document_refers_to_is_there() -> None:
    document = json.loads((FOLDER / "asyncapi.json").read_text("utf-8"))
    found = set(references(document))
    assert len(found) > 60
    for reference in found:
        if reference.startswith("#/"):
            place = document
            for step in reference.removeprefix("#/").split("/"):
                place = place[step]
        else:
            assert (FOLDER / reference).is_file(), reference
