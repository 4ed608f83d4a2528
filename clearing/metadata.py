"""What a client of Kafka knows of topics: whether they are there, and who leads their partitions.

Left alone, aiokafka asks for one topic after the other, when each is met first, and waits retry_backoff_ms in
between; and whoever asks it which topics are there is told of all that there are.
"""

import random
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest

Client = AIOKafkaConsumer | AIOKafkaProducer


async def existing(client: Client, topics: Iterable[str]) -> set[str]:
    """Those of these topics that are there. Unlike all else that names a topic, this never makes one.

    The client is started. Raises KafkaConnectionError where no broker answers, TopicAuthorizationFailedError where
    one of them may not be known to us.
    """
    asked = sorted(topics)
    if not asked:
        return set()
    within = _within(client)
    request = MetadataRequest(asked, allow_auto_topic_creation=False)
    nodes = [broker.nodeId for broker in within.cluster.brokers()]
    random.shuffle(nodes)  # so that not all ask the same one
    for node in nodes:
        try:
            response = await within.send(node, request)
        except KafkaError:
            continue  # it may be restarting: the next one is asked
        refused = sorted(
            t for e, t, *_ in response.topics if e == TopicAuthorizationFailedError.errno
        )
        if refused:
            raise TopicAuthorizationFailedError(", ".join(refused))
        return {topic for error, topic, *_ in response.topics if not error}
    raise KafkaConnectionError("no broker says which topics there are")


async def learn(client: Client, topics: Iterable[str]) -> None:
    """Ask once, for all of these topics together, who leads their partitions. The client is started."""
    within = _within(client)
    if wanted := within._topics.union(topics):  # of none it would ask for all there are
        within.set_topics(wanted)
        await within._maybe_wait_metadata()


def _within(client: Client) -> AIOKafkaClient:
    return client.client if isinstance(client, AIOKafkaProducer) else client._client
