"""Kafka's jars: only the locked bytes are used, a broken download leaves nothing, a second start is offline."""

import functools
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clearing.dev import jars
from clearing.dev.jars import KAFKA_VERSION, Jar, JarError, fetch, locked_jars

COORDINATES = ("org.example:alpha:1.0", "org.example.deep:beta:2.1")


def _path(coordinate: str) -> str:
    group, artifact, version = coordinate.split(":")
    return f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"


class _Mirror(http.server.SimpleHTTPRequestHandler):
    """A Maven repository in a folder; `cut` names a path whose first answer ends too early."""

    asked: list[str]
    cut: set[str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        self.asked.append(self.path)

    def do_GET(self) -> None:
        if self.path in self.cut:
            self.cut.remove(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half of it")
            self.close_connection = True
            return
        super().do_GET()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Mirror]]:
    """A mirror on loopback with both jars, to which CLEARING_MAVEN_URL points."""
    for coordinate in COORDINATES:
        path = tmp_path / "mirror" / _path(coordinate)
        path.parent.mkdir(parents=True)
        path.write_bytes(coordinate.encode() * 100)
    handler = type("Handler", (_Mirror,), {"asked": [], "cut": set()})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path / "mirror"))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("CLEARING_MAVEN_URL", f"http://127.0.0.1:{server.server_port}/")
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "jars.lock"
    lines = [
        f"{hashlib.sha256(name.encode() * 100).hexdigest()} {len(name) * 100} {name}\n"
        for name in COORDINATES
    ]
    path.write_text(jars.HEADER + "".join(lines))
    return path


def test_packaged_lock_is_whole() -> None:
    locked = locked_jars()
    assert all(len(bytes.fromhex(jar.sha256)) == 32 and jar.size_bytes > 0 for jar in locked)
    assert len({jar.file for jar in locked}) == len(locked) > 40
    assert set(jars.ROOTS) <= {jar.coordinate for jar in locked}
    kafkas = [jar for jar in locked if jar.coordinate.startswith("org.apache.kafka:")]
    assert {jar.coordinate.split(":")[2] for jar in kafkas} == {KAFKA_VERSION}
    versions = {jar.coordinate.split(":")[2] for jar in locked if ":slf4j-" in jar.coordinate}
    assert len(versions) == 1, "the logging backend has to be of its interface's version"


def test_fetches_once_then_needs_no_network(
    mirror: type[_Mirror], lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    first = fetch(tmp_path / "libs", lambda have, total: seen.append((have, total)), lock)
    assert [path.name for path in first] == ["alpha-1.0.jar", "beta-2.1.jar"]
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert sorted(path.name for path in (tmp_path / "libs").iterdir()) == sorted(
        path.name for path in first
    )

    monkeypatch.setenv("CLEARING_MAVEN_URL", "http://127.0.0.1:1")  # nobody is there
    asked = len(mirror.asked)
    assert fetch(tmp_path / "libs", None, lock) == first
    assert len(mirror.asked) == asked


def test_other_bytes_from_the_mirror_are_refused_and_not_kept(
    mirror: type[_Mirror], lock: Path, tmp_path: Path
) -> None:
    (tmp_path / "mirror" / _path(COORDINATES[1])).write_bytes(b"not what was locked")
    with pytest.raises(JarError, match=r"is not the org\.example\.deep:beta:2\.1 that was locked"):
        fetch(tmp_path / "libs", None, lock)
    assert not (tmp_path / "libs" / "beta-2.1.jar").exists()
    assert not (tmp_path / "libs" / ".download").exists()
    assert mirror.asked


def test_jar_changed_in_the_cache_is_refused(
    mirror: type[_Mirror], lock: Path, tmp_path: Path
) -> None:
    changed = fetch(tmp_path / "libs", None, lock)[0]
    asked = len(mirror.asked)
    with changed.open("ab") as file:
        file.write(b"!")
    with pytest.raises(JarError, match=r"alpha-1\.0\.jar is not .* Remove the file"):
        fetch(tmp_path / "libs", None, lock)
    assert len(mirror.asked) == asked, "a changed jar is for a person to look at"


def test_broken_connection_is_tried_again(
    mirror: type[_Mirror], lock: Path, tmp_path: Path
) -> None:
    path = f"/{_path(COORDINATES[0])}"
    mirror.cut.add(path)
    assert len(fetch(tmp_path / "libs", None, lock)) == 2
    assert mirror.asked.count(path) == 2


def test_unreachable_repository_says_what_can_be_set(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARING_MAVEN_URL", "http://127.0.0.1:1")
    with pytest.raises(JarError, match=r"cannot fetch .*CLEARING_MAVEN_URL.*SSL_CERT_FILE"):
        fetch(tmp_path / "libs", None, lock)


def test_who_reports_progress_can_end_the_download(
    mirror: type[_Mirror], lock: Path, tmp_path: Path
) -> None:
    def enough(have: int, _total: int) -> None:
        if have == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path / "libs", enough, lock)
    assert len(list((tmp_path / "libs").iterdir())) == 1, "one whole jar, no scratch folder"
    assert mirror.asked


def test_private_authority_is_trusted_for_the_download_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/bank/authority.pem")
    with jars._trusted_authorities():
        assert os.environ["REQUESTS_CA_BUNDLE"] == "/etc/bank/authority.pem"
    assert "REQUESTS_CA_BUNDLE" not in os.environ

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/own/choice.pem")
    with jars._trusted_authorities():
        assert os.environ["REQUESTS_CA_BUNDLE"] == "/own/choice.pem"
    assert os.environ["REQUESTS_CA_BUNDLE"] == "/own/choice.pem"


def test_file_name_of_a_jar() -> None:
    assert Jar("00", 1, "org.apache.kafka:kafka_2.13:4.3.1").file == "kafka_2.13-4.3.1.jar"
