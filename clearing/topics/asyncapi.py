"""The list of topics as an AsyncAPI 3 document, for tools that draw, mock or generate clients in any language.

Generated into topics/asyncapi.json by clearing.topics.schemas; refers to the schemas beside it.
"""

import string
from collections.abc import Iterable
from typing import Any

from clearing import __version__
from clearing.topics.contract import Contract, TopicSpec, kafka_configs

ARROW = "arrow:"  # of a value that is columns, described in topics/README.md
SCHEMA_FORMAT = "application/schema+json;version=2020-12"
_PARAMETERS = {
    "netting_set": "Assets that are cleared together.",
    "participant": "Id of the participant that owns the topic.",
}


def asyncapi(contract: Contract, messages: Iterable[str]) -> dict[str, Any]:
    """The document; `messages`: names of the JSON Schemas there are."""
    topics = contract.topics
    columnar = {value for spec in topics.values() for value in spec.values if _is_arrow(value)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Clearing engine",
            "version": __version__,
            "license": {"name": "Apache-2.0"},
            "description": (
                "Payments in, settlement batches out. Addresses come after the prefix of the installation."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {kind: _channel(spec, contract) for kind, spec in topics.items()},
        "operations": {kind: _operation(kind, spec) for kind, spec in topics.items()},
        "components": {
            "messages": {name: _json_message(name) for name in messages}
            | {_key(value): _arrow_message(value) for value in sorted(columnar)}
        },
    }


def _channel(spec: TopicSpec, contract: Contract) -> dict[str, Any]:
    names = [name for _, name, _, _ in string.Formatter().parse(spec.name) if name]
    parameters = {name: {"description": _PARAMETERS[name]} for name in names}
    configs = kafka_configs(spec)
    return {
        "address": spec.name,
        "description": f"{spec.description} Written by {', '.join(spec.written_by)};"
        f" read by {', '.join(spec.read_by)}. Record key: {spec.keys}.",
        **({"parameters": parameters} if parameters else {}),
        "messages": {_key(value): _message_reference(value) for value in spec.values},
        "bindings": {
            "kafka": {
                "partitions": 1 if spec.partitions == "one" else contract.netting_set_partitions,
                "topicConfiguration": {
                    "cleanup.policy": [configs["cleanup.policy"]],
                    "retention.ms": int(configs["retention.ms"]),
                    "max.message.bytes": int(configs["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(kind: str, spec: TopicSpec) -> dict[str, Any]:
    """What the clearing engine does with a topic: it receives what comes from outside, and sends the rest."""
    return {
        "action": "receive" if spec.from_outside else "send",
        "channel": {"$ref": f"#/channels/{kind}"},
        "messages": [{"$ref": f"#/channels/{kind}/messages/{_key(v)}"} for v in spec.values],
    }


def _json_message(name: str) -> dict[str, Any]:
    payload = {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./schemas/{name}.json"}}
    return {"name": name, "payload": payload}


def _arrow_message(value: str) -> dict[str, Any]:
    return {
        "name": value.removeprefix(ARROW),
        "contentType": "application/vnd.apache.arrow.stream",
        "description": "Columns: see README.md",
    }


def _message_reference(value: str) -> dict[str, str]:
    return {"$ref": f"#/components/messages/{_key(value)}"}


def _is_arrow(value: str) -> bool:
    return value.startswith(ARROW)


def _key(value: str) -> str:
    return value.replace(":", ".").replace("/", ".")
