"""Kafka's jars: pinned in jars.lock with their checksums, fetched from a Maven repository, checked each time.

`python -m clearing.dev.jars` resolves ROOTS anew and rewrites the lock; that is the only place where
dependencies are resolved. A jar that is not byte for byte the locked one is refused.
"""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import requests
from jgo.maven import MavenContext

from clearing.dev.cache import cache_dir

KAFKA_VERSION = "4.3.1"
# slf4j-simple prints to stderr, hence into the broker's log file; its version is the one of slf4j-api.
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
LOCK = Path(__file__).with_name("jars.lock")
HEADER = "# sha256 size_bytes group:artifact:version, written by `python -m clearing.dev.jars`\n"

DOWNLOADS_AT_ONCE = 8
ATTEMPTS = 3
TIMEOUT_S = 30  # of one request, not of a whole download

Progress = Callable[[int, int], None]
"""Called as (jars there, jars in all) after each download; an exception it raises ends the downloading."""


class JarError(RuntimeError):
    """A jar cannot be had, or is not the one that was locked."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    sha256: str
    size_bytes: int
    coordinate: str

    @property
    def file(self) -> str:
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def locked_jars(lock: Path = LOCK) -> list[Jar]:
    """The class path, in the order of the lock."""
    lines = [line.split() for line in lock.read_text().splitlines() if not line.startswith("#")]
    return [Jar(sha256, int(size), coordinate) for sha256, size, coordinate in lines]


def fetch(folder: Path, progress: Progress | None = None, lock: Path = LOCK) -> list[Path]:
    """Every locked jar in `folder`, verified; downloads what is missing, touches no network otherwise.

    Raises JarError. The caller holds the lock of `folder`'s owner: two of these at once would collide.
    """
    jars = locked_jars(lock)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not (folder / jar.file).exists()]
    if missing:
        _download(missing, folder, progress or (lambda _have, _all: None), len(jars))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda jar: verify(folder / jar.file, jar), jars))
    return [folder / jar.file for jar in jars]


def verify(path: Path, jar: Jar) -> None:
    """Raise JarError unless the file is the locked one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise JarError(
            f"{path} is not the {jar.coordinate} that was locked: its sha256 is {found}, "
            f"jars.lock says {jar.sha256}. Remove the file to have it fetched again."
        )


def _download(missing: list[Jar], folder: Path, progress: Progress, total: int) -> None:
    """Fetch into a scratch repository, verify, and only then move into place: no half-written jar."""
    scratch = folder / ".download"
    shutil.rmtree(scratch, ignore_errors=True)  # of a predecessor that was killed
    have = total - len(missing)
    progress(have, total)
    with _trusted_authorities(), ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        try:
            downloads = {pool.submit(_download_one, jar, scratch): jar for jar in missing}
            for download in as_completed(downloads):
                jar = downloads[download]
                path = download.result()
                verify(path, jar)
                path.replace(folder / jar.file)
                have += 1
                progress(have, total)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _download_one(jar: Jar, repository: Path) -> Path:

    group, artifact, version = jar.coordinate.split(":")
    component = _maven(repository).project(group, artifact).at_version(version)
    wanted = component.artifact(packaging="jar")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return wanted.resolve()
        except (requests.RequestException, OSError, RuntimeError) as error:
            if wanted.cached_path is not None:
                wanted.cached_path.unlink(missing_ok=True)  # what a broken connection left
            if attempt == ATTEMPTS:
                raise JarError(
                    f"cannot fetch {jar.coordinate}: {error}. Behind a mirror set CLEARING_MAVEN_URL; "
                    "behind a private certificate authority set SSL_CERT_FILE or REQUESTS_CA_BUNDLE."
                ) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _maven(repository: Path):
    """jgo's view of Maven, with `repository` instead of ~/.m2, and the user's mirror if there is one."""
    mirror = os.environ.get("CLEARING_MAVEN_URL")
    return MavenContext(
        repo_cache=repository,
        remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
        timeout=TIMEOUT_S,
    )


@contextlib.contextmanager
def _trusted_authorities() -> Iterator[None]:
    """requests reads REQUESTS_CA_BUNDLE only; most machines with a private authority set SSL_CERT_FILE."""
    bundle = os.environ.get("SSL_CERT_FILE")
    if not bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        yield
        return
    os.environ["REQUESTS_CA_BUNDLE"] = bundle
    try:
        yield
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]


def refresh(lock: Path = LOCK, wanted: Sequence[str] = ROOTS, header: str = HEADER) -> list[Jar]:
    """Resolve what is wanted with everything it needs at run time, and write the lock."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with _trusted_authorities(), tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        maven = _maven(Path(scratch))
        roots, others = maven.resolver.resolve([maven.create_dependency(root) for root in wanted])
        artifacts = [dependency.artifact for dependency in [*roots, *others]]
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            paths = list(pool.map(lambda artifact: artifact.resolve(), artifacts))
        jars = [
            Jar(
                hashlib.sha256(path.read_bytes()).hexdigest(),
                path.stat().st_size,
                f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}",
            )
            for artifact, path in zip(artifacts, paths, strict=True)
        ]
    jars.sort(key=lambda jar: jar.coordinate)
    lines = [f"{jar.sha256} {jar.size_bytes} {jar.coordinate}\n" for jar in jars]
    lock.write_text(header + "".join(lines))
    return jars


if __name__ == "__main__":
    locked = refresh()
    sys.stdout.write(f"{len(locked)} jars, {sum(jar.size_bytes for jar in locked):,} bytes\n")
