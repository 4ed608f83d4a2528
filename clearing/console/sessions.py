"""Who is logged in: server-side sessions with random ids, and how often somebody may try to log in.

In memory: a restart logs everybody out, and nothing of it is worth stealing from a disk. Time is handed in.
"""

import hashlib
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

IDLE_S, ABSOLUTE_S = 1_800, 43_200
MOST_SESSIONS, MOST_OF_ONE = 1_000, 20
TRIES, TRIES_OF_ADDRESS, TRIES_OF_ALL, TRIES_WITHIN_S = 5, 20, 100, 300
_KEYS = 10_000


@dataclass(slots=True)
class Session:
    """csrf: what every request that changes something must repeat. by_proxy: logged in by the trusted header.

    streams: live ones of this session.
    """

    user: str
    csrf: str
    since_s: float
    seen_s: float
    by_proxy: bool
    streams: int = 0


@dataclass(slots=True)
class Sessions:
    """Only the hash of an id is kept. now: seconds of a clock that never goes back."""

    now: Callable[[], float]
    idle_s: float = IDLE_S
    absolute_s: float = ABSOLUTE_S
    _sessions: dict[bytes, Session] = field(default_factory=dict[bytes, Session])

    def begin(self, user: str, *, by_proxy: bool = False) -> tuple[str, Session]:
        """A new session and its id, which is told to the browser and nobody else."""
        self._forget()
        own = [key for key, session in self._sessions.items() if session.user == user]
        for key in own[: max(len(own) - MOST_OF_ONE + 1, 0)]:
            del self._sessions[key]
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].seen_s)]
        id_, now = secrets.token_urlsafe(32), self.now()
        session = Session(user, secrets.token_urlsafe(32), now, now, by_proxy)
        self._sessions[_key(id_)] = session
        return id_, session

    def find(self, id_: str, *, touch: bool = True) -> Session | None:
        """The session of an id if it has not ended. touch: somebody is at work; a stream alone keeps none awake."""
        session = self._sessions.get(_key(id_))
        if session is None:
            return None
        now = self.now()
        if self._is_over(session, now):
            del self._sessions[_key(id_)]
            return None
        if touch:
            session.seen_s = now
        return session

    def end(self, id_: str) -> None:
        self._sessions.pop(_key(id_), None)

    def left_s(self, session: Session) -> float:
        """Seconds until it ends if nothing more is done."""
        now = self.now()
        return min(session.seen_s + self.idle_s - now, session.since_s + self.absolute_s - now)

    def _is_over(self, session: Session, now: float) -> bool:
        return now >= session.seen_s + self.idle_s or now >= session.since_s + self.absolute_s

    def _forget(self) -> None:
        now = self.now()
        for key in [key for key, each in self._sessions.items() if self._is_over(each, now)]:
            del self._sessions[key]


def _key(id_: str) -> bytes:
    return hashlib.sha256(id_.encode()).digest()


@dataclass(slots=True)
class Attempts:
    """Log-ins that failed: a name from one address has so many in so much time, an address and all of them more.

    Not the name alone: else anybody could lock an operator out.
    """

    now: Callable[[], float]
    within_s: float = TRIES_WITHIN_S
    _failed: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])

    def wait_s(self, name: str, address: str) -> float:
        """How long to wait before the next try; 0: now."""
        longest = 0.0
        for key, most in _limits(name, address).items():
            failed = self._recent(key)
            if len(failed) >= most:
                longest = max(longest, failed[-most] + self.within_s - self.now())
        return longest

    def failed(self, name: str, address: str) -> None:
        for key in _limits(name, address):
            if key not in self._failed and len(self._failed) >= _KEYS:
                self._failed.pop(next(key for key in self._failed if key))
            self._failed.setdefault(key, deque(maxlen=TRIES_OF_ALL)).append(self.now())

    def succeeded(self, name: str, address: str) -> None:
        """Whoever knows the password has not been guessing it."""
        self._failed.pop(f"{address} {name}", None)

    def _recent(self, key: str) -> deque[float]:
        failed = self._failed.get(key, deque[float]())
        while failed and failed[0] <= self.now() - self.within_s:
            failed.popleft()
        if not failed:
            self._failed.pop(key, None)
        return failed


def _limits(name: str, address: str) -> dict[str, int]:
    return {f"{address} {name}": TRIES, address: TRIES_OF_ADDRESS, "": TRIES_OF_ALL}
