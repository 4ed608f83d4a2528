"""Somebody who reads all topics of a simulated run, to say how far it has come."""

from tests.simulation.workload import Town


class Onlooker:
    """Feeds the watch with whatever topics have got since it looked last."""

    def __init__(self, town: Town) -> None:
        topics = town.topics
        self._town = town
        self._places = {
            (topic, number): 0
            for topic in (
                topics.log,
                topics.outcomes,
                topics.settlements,
                topics.positions,
                topics.journal,
            )
            for number in town.directory.values()
        }

    def look(self) -> None:
        broker = self._town.simulation.broker
        for (topic, number), start in self._places.items():
            for record in broker.read(topic, number, start):
                self._town.watch.take(topic, number, record)
                self._places[topic, number] = record.offset + 1
