"""JSON Schemas of every message, from the types that the software itself uses: `python -m clearing.topics.schemas`.

Writes topics/schemas/*.json and topics/asyncapi.json; a test fails when they differ from what the types say.
"""

import inspect
import sys
import typing
from pathlib import Path
from typing import Any

import msgspec

from clearing.core import commands
from clearing.core.outputs import (
    CommandEvent,
    ConfirmationEvent,
    DeadlockEvent,
    LedgerAccount,
    Position,
    ProposalEvent,
    Rejected,
    Resolutions,
    SettlementBatch,
    ShortfallEvent,
    WindowEvent,
)
from clearing.log.control import ControlRecord
from clearing.log.records import Transaction
from clearing.messages import (
    Answer,
    Bulk,
    Cancellation,
    DirectoryEntry,
    FinalRecord,
    HaltRecord,
    Payment,
    PriorityChange,
    Return,
    StatusRecord,
    TokenTransfer,
)
from clearing.messages_views import (
    ActivityView,
    AuditView,
    BatchView,
    Heartbeat,
    LagSample,
    RejectView,
    WindowView,
)
from clearing.topics import constraints
from clearing.topics.asyncapi import asyncapi
from clearing.topics.contract import contract_folder, read_contract

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MESSAGES: dict[str, type[msgspec.Struct]] = {
    "payment": Payment,
    "token_transfer": TokenTransfer,
    "return": Return,
    "cancel": Cancellation,
    "priority": PriorityChange,
    "answer": Answer,
    "bulk": Bulk,
    # register_asset, open_account, …, confirmation: named as they are tagged.
    **{str(kind.__struct_config__.tag): kind for kind in typing.get_args(commands.ControlMessage)},
    "control_record": ControlRecord,
    "settlement_batch": SettlementBatch,
    "ledger_account": LedgerAccount,
    "position": Position,
    "rejected": Rejected,
    "window_event": WindowEvent,
    "command_event": CommandEvent,
    "confirmation_event": ConfirmationEvent,
    "deadlock_event": DeadlockEvent,
    "shortfall_event": ShortfallEvent,
    "proposal_event": ProposalEvent,
    "resolutions": Resolutions,
    "transaction": Transaction,
    "status": StatusRecord,
    "final": FinalRecord,
    "directory_entry": DirectoryEntry,
    "halt_record": HaltRecord,
    "heartbeat": Heartbeat,
    "window_view": WindowView,
    "batch_view": BatchView,
    "activity_view": ActivityView,
    "reject_view": RejectView,
    "audit_view": AuditView,
    "lag_sample": LagSample,
}


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one message, complete in itself."""
    kind = MESSAGES[name]
    _, components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    kinds = _structs_of(kind)
    for title, schema in components.items():
        _drop_discriminators(schema)
        _refine(schema, kinds.get(title))
    own = components.pop(kind.__name__)
    if sent := constraints.SENT.get(kind):
        own["allOf"] = [sent]
    head = {"$schema": DIALECT, "$id": f"urn:clearing:{name}", "title": name}
    schema = head | {key: value for key, value in own.items() if key != "title"}
    return schema | ({"$defs": dict(sorted(components.items()))} if components else {})


def _structs_of(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """Every struct type that a type holds, itself included, by name."""
    found: dict[str, type[msgspec.Struct]] = {}

    def visit(seen: msgspec.inspect.Type) -> None:
        match seen:
            case msgspec.inspect.StructType(cls=cls, fields=fields):
                if cls.__name__ not in found:
                    found[cls.__name__] = cls
                    for field in fields:
                        visit(field.type)
            case msgspec.inspect.ListType(item_type=item):
                visit(item)
            case msgspec.inspect.UnionType(types=types):
                for one in types:
                    visit(one)
            case _:
                pass

    visit(msgspec.inspect.type_info(kind))
    return found


def _drop_discriminators(schema: object) -> None:
    """A keyword of OpenAPI; the constants of the options say the same in any JSON Schema."""
    if isinstance(schema, dict):
        schema.pop("discriminator", None)
    for part in schema.values() if isinstance(schema, dict) else ():
        _drop_discriminators(part)


def _refine(schema: dict[str, Any], kind: type[msgspec.Struct] | None) -> None:
    """Constraints over a generated schema, and the description as it is meant to be read."""
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    if kind is None or "properties" not in schema:
        return
    for name, field in schema["properties"].items():
        if list(field) == ["enum"] and len(field["enum"]) == 1:
            schema["properties"][name] = {"const": field["enum"][0]}
            continue
        target = _texts_of(field)
        target.update(constraints.constraint_of(kind, name))
        if "const" in target:
            target.pop("type", None)
    config = kind.__struct_config__
    if not config.forbid_unknown_fields and not config.omit_defaults:
        # Written by this software alone, in full: a reader may count on every field, and must bear new ones.
        schema["required"] = list(schema["properties"])
    schema.update(constraints.OBJECTS.get(kind, {}))


def _texts_of(field: dict[str, Any]) -> dict[str, Any]:
    """Where the constraints of a field go: of `str | None` to the string."""
    for option in field.get("anyOf", ()):
        if option.get("type") == "string":
            return option
    return field


def documents() -> dict[str, str]:
    """Every generated file: path below topics/ → text."""
    files = {f"schemas/{name}.json": schema_of(name) for name in MESSAGES}
    files["asyncapi.json"] = asyncapi(read_contract(), MESSAGES)
    return {
        path: msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"
        for path, content in files.items()
    }


def write(folder: Path) -> list[str]:
    """Write the generated files below `folder` and remove schemas that nothing generates; what changed."""
    wanted = documents()
    changed: list[str] = []
    for path, text in wanted.items():
        file = folder / path
        if not file.exists() or file.read_text("utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            changed.append(path)
    for file in (folder / "schemas").glob("*.json"):
        if f"schemas/{file.name}" not in wanted:
            file.unlink()
            changed.append(f"schemas/{file.name}")
    return changed


if __name__ == "__main__":
    for path in write(contract_folder()):
        sys.stdout.write(f"topics/{path}\n")
