"""How long topics keep what nobody has read yet: asked of the cluster now and then, for it may be changed."""

import time
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

ASK_EVERY_S = 60.0


class Retention:
    """Remembers the answers for ASK_EVERY_S."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._admin = admin
        self._known: dict[str, int | None] = {}
        self._asked_at = -ASK_EVERY_S

    async def of(self, topics: set[str]) -> dict[str, int | None]:
        """retention.ms by topic, None: for ever; a topic that is gone is left out. Raises KafkaError."""
        now = time.monotonic()
        if now - self._asked_at >= ASK_EVERY_S or not topics <= self._known.keys():
            self._known = await retention_ms(self._admin, sorted(topics))
            self._known |= dict.fromkeys(topics - self._known.keys())
            self._asked_at = now
        return self._known


async def retention_ms(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, int | None]:
    """As configured and in force; a compacted topic keeps the latest of each key for ever. Raises KafkaError."""
    if not topics:
        return {}
    found: dict[str, int | None] = {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    responses: list[Any] = await admin.describe_configs(resources)
    for response in responses:
        for code, _, _, name, entries in response.resources:
            if code:
                continue
            configs = {key: value for key, value, *_ in entries}
            kept_ms = int(configs.get("retention.ms") or -1)
            deletes = "delete" in configs.get("cleanup.policy", "delete")
            found[name] = kept_ms if deletes and kept_ms >= 0 else None
    return found
