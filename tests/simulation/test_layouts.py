"""What clients take from the cluster's description for less is what aiokafka's own code takes from it."""

from typing import Any

from aiokafka.cluster import ClusterMetadata
from aiokafka.protocol.metadata import MetadataResponse_v5

from tests.simulation.layouts import learning

BROKERS = [(0, "node0", 0, ""), (1, "node1", 1, "")]
TOPICS = [
    (0, "log", False, [(0, 0, 0, [], [], []), (0, 1, -1, [], [], [])]),
    (3, "unknown", False, []),
    (0, "outcomes", False, [(0, 0, 1, [], [], [])]),
]


def _kept(cluster: ClusterMetadata) -> dict[str, Any]:
    at = ("_lock", "_last_refresh_ms", "_last_successful_refresh_ms", "_listeners", "_future")
    return {name: value for name, value in vars(cluster).items() if name not in at}


def test_the_same_is_learnt_from_the_same_words() -> None:
    learn = learning()
    told: list[ClusterMetadata] = []
    for controller, brokers, topics in (
        (0, BROKERS, TOPICS),
        (0, BROKERS, TOPICS),
        (1, BROKERS[1:], TOPICS),
        (1, BROKERS, TOPICS[:1]),
        (1, [], TOPICS),
    ):
        said = MetadataResponse_v5(0, brokers, "simulated", controller, topics)
        ours, theirs = ClusterMetadata(), ClusterMetadata()
        for cluster in (ours, theirs):
            cluster.add_listener(told.append)
        asked = ours.request_update()
        theirs.request_update()
        learn(ours, said)
        theirs.update_metadata(said)
        assert _kept(ours) == _kept(theirs)
        assert told == ([ours, theirs] if brokers else [])
        assert asked.done()
        assert (asked.exception() is None) == bool(brokers)
        told.clear()
