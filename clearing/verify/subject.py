"""What a report says of itself: which installation, when, by what software, and what it did not check."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from urllib.parse import urlsplit

from clearing import __version__, kafka
from clearing.config import Settings
from clearing.verify.report import Subject

LIBRARIES = ("aiokafka", "asyncpg", "msgspec", "numpy", "pyarrow")

# What no claim recomputes by itself: only the replay, which runs the engine's own code, speaks for it.
LIMITS = (
    (
        "Only the replay says so: which reason a refusal has where several apply; in which order a queue was "
        "worked off (R12, R13) and that a release was the greatest possible (R15); the text of a deadlock (R16); "
        "how survivors share a shortfall (R25), beyond that shares add up and nobody bears more than it gets."
    ),
    "What is older than a topic keeps is believed as the log has it; the claims say how much that is.",
    "Compacted topics (positions, windows) are not read a second time: a record may go between two looks.",
)


def limits_of(settings: Settings, every: list[str], chosen: list[str]) -> list[str]:
    """What was left out because nobody asked for it."""
    found: list[str] = []
    if left_out := [name for name in every if name not in chosen]:
        found.append(
            f"Not verified, because --netting-set left them out: {', '.join(left_out)}; nor what banks were told "
            "of them."
        )
    if not settings.dsn:
        found.append("No ledger was given: nothing was compared with what is posted.")
    return found


async def describe(settings: Settings, netting_sets: list[str], began_at: datetime) -> Subject:
    """The installation as it is now. Raises KafkaError."""
    async with kafka.administration(settings.bootstrap, client="clearing-verify") as admin:
        cluster = await admin.describe_cluster()
    return Subject(
        bootstrap=settings.bootstrap,
        topic_prefix=settings.topic_prefix,
        cluster_id=str(cluster.get("cluster_id") or ""),
        ledger=_without_secrets(settings.dsn),
        netting_sets=netting_sets,
        versions={
            "clearing": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
        },
        began_at=_instant(began_at),
        ended_at=_instant(datetime.now(UTC)),
    )


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_secrets(dsn: str) -> str:
    """Where a ledger is: no user, no password, no options."""
    if "://" not in dsn:
        return "as configured" if dsn else ""
    parts = urlsplit(dsn)
    host = parts.hostname or "local"
    return f"{host}{f':{parts.port}' if parts.port else ''}{parts.path}"
