"""Numbers of netting sets: what was given stays, nothing is given twice."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.names import Topics
from clearing.scheme.directory import assign, new_entries


@pytest.mark.parametrize(
    ("directory", "names", "expected"),
    [
        ({}, ["hk", "eu"], {"hk": 0, "eu": 1}),
        ({"hk": 0}, ["eu", "hk"], {"hk": 0, "eu": 1}),
        ({"hk": 1}, ["eu", "us"], {"hk": 1, "eu": 0, "us": 2}),
        ({"gone": 0}, ["hk"], {"gone": 0, "hk": 1}),
        ({"hk": 3}, ["hk", "hk"], {"hk": 3}),
    ],
)
def test_the_lowest_free_number(
    directory: dict[str, int], names: list[str], expected: dict[str, int]
) -> None:
    assert assign(directory, names) == expected


@given(st.lists(st.lists(st.sampled_from("abcdefgh"))))
def test_numbers_stay_and_are_never_shared(loads: list[list[str]]) -> None:
    directory: dict[str, int] = {}
    for names in loads:
        after = assign(directory, names)
        assert directory.items() <= after.items()
        assert sorted(after.values()) == list(range(len(after)))
        directory = after


def test_a_directory_that_shares_a_number_is_a_bug_to_stop_at() -> None:
    with pytest.raises(AssertionError, match="two netting sets share a partition"):
        assign({"hk": 0, "eu": 0}, ["us"])


def test_only_new_entries_are_published() -> None:
    [record] = new_entries(Topics("p-"), {"hk": 0}, {"hk": 0, "eu": 1})
    assert (record.topic, record.partition, record.key) == ("p-netting-sets", 0, b"eu")
    assert msgspec.json.decode(record.value) == {"netting_set": "eu", "partition": 1}
