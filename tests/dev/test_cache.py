"""One cache folder, wherever the user wants it, changed by one process at a time."""

from pathlib import Path

import pytest

from clearing.dev.cache import cache_dir, exclusive


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLEARING_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")


def test_default_is_below_home() -> None:
    assert cache_dir() == Path("/home/someone/.cache/clearing-engine")


def test_xdg_folder_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/someone")
    assert cache_dir() == Path("/var/cache/someone/clearing-engine")


def test_relative_xdg_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert cache_dir() == Path("/home/someone/.cache/clearing-engine")


def test_own_variable_wins_and_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/someone")
    monkeypatch.setenv("CLEARING_CACHE", "~/clearing")
    assert cache_dir() == Path("/home/someone/clearing")


async def test_second_holder_waits_no_longer_than_told(tmp_path: Path) -> None:
    async with exclusive(tmp_path / "shared", 1_000):
        with pytest.raises(TimeoutError, match=r"another process has held .*shared"):
            async with exclusive(tmp_path / "shared", 100):
                pytest.fail("two holders at once")
    async with exclusive(tmp_path / "shared", 1_000):  # free again
        assert (tmp_path / "shared" / ".lock").exists()
