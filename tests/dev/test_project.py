"""What a checkout promises: a lock that names no host and checks everything, a quiet import."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import clearing

ROOT = Path(clearing.__file__).parent.parent
FLAGS = re.MULTILINE | re.DOTALL


def _lock_entries() -> dict[str, str]:
    """{pinned name==version: the rest of its entry} of requirements.txt."""
    text = (ROOT / "requirements.txt").read_text()
    return dict(re.findall(r"^([a-z0-9][\w.-]*==[^\s;]+)(.*?)(?=^\S|\Z)", text, FLAGS))


def test_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert clearing.__version__ == project["version"] == version("clearing-engine")


def test_lock_pins_every_requirement_with_a_hash() -> None:
    entries = _lock_entries()
    assert len(entries) > 60
    assert [name for name, rest in entries.items() if "--hash=sha256:" not in rest] == []


def test_lock_names_no_host_so_that_any_mirror_serves_it() -> None:
    text = (ROOT / "requirements.txt").read_text()
    assert re.findall(r"https?:|--(?:extra-)?index-url|--find-links|--trusted-host", text) == []


def test_lock_covers_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in asked}
    locked = {entry.split("==")[0] for entry in _lock_entries()}
    assert names - locked == set()


def test_importing_clearing_starts_nothing() -> None:
    code = (
        "import sys, threading, clearing\n"
        "loud = {'aiokafka', 'asyncpg', 'faust', 'jgo', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not loud, loud\n"
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
