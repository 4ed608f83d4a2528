"""The app as Faust sees it, without a broker: found by its command line, reading what is committed, harmless."""

from collections.abc import Iterator

import pytest
from faust.cli.base import find_app

from clearing.config import Settings
from clearing.names import VIEW_NAMES, Topics
from clearing.views import standalone
from clearing.views.faust_app import ViewsApp, build_app
from clearing.views.transport import ReadCommitted


@pytest.fixture
def faust_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ViewsApp]:
    """As `faust -A clearing.views …` finds it."""
    monkeypatch.setenv("CLEARING_METRICS_PORT", "-1")
    monkeypatch.setenv("CLEARING_TOPIC_PREFIX", "p-")
    monkeypatch.setenv("CLEARING_BOOTSTRAP", "one:9092,two:9093")
    standalone.app.cache_clear()
    found = find_app("clearing.views")
    assert isinstance(found, ViewsApp)
    yield found
    standalone.app.cache_clear()


def test_fausts_command_line_finds_the_app_with_our_settings(faust_app: ViewsApp) -> None:
    assert find_app("clearing.views") is faust_app  # its `worker` looks twice
    assert faust_app.conf.id == "p-clearing-views"
    assert [str(url) for url in faust_app.conf.broker] == [
        "aiokafka://one:9092",
        "aiokafka://two:9093",
    ]


def test_it_folds_what_the_engine_says_into_topics_of_the_contract(faust_app: ViewsApp) -> None:
    topics = Topics("p-")
    read = {name for agent in faust_app.agents.values() for name in agent.get_topic_names()}
    assert read == {topics.journal, topics.settlements, topics.rejected, topics.outcomes}
    written = {table.changelog_topic_name for table in faust_app.tables.values()}
    assert written == {topics.view(view) for view in VIEW_NAMES if view != "lag"}


def test_it_reads_what_is_committed_and_makes_no_topics() -> None:
    """DESIGN.md §2: Faust's exactly_once loses and duplicates, and outside of it Faust reads uncommitted."""
    app = build_app(Settings())
    app.finalize()
    assert app.conf.processing_guarantee.value == "at_least_once"
    assert isinstance(app.transport, ReadCommitted)
    assert not app.conf.topic_allow_declare
    assert app.conf.topic_disable_leader
