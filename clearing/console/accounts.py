"""Who may log in, and as what: a small file with argon2 hashes, written by `clearing console user`.

STORED FORMAT: JSON {"version": 1, "accounts": [{"name", "roles", "hash"}]}, readable by its owner only. It is read
again whenever it has changed, so that a role taken away is gone at once.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from clearing.config import default_home

Role = Literal["viewer", "operator", "approver", "auditor"]
Right = Literal["read", "preview", "act", "approve", "export"]
ROLES: tuple[Role, ...] = get_args(Role)

_RIGHTS: dict[Role, frozenset[Right]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "preview", "act"}),
    "approver": frozenset({"read", "preview", "approve"}),
    "auditor": frozenset({"read", "export"}),
}
# It stands in the log as who asked: of intake's alphabet for `by`, and nothing that could be taken for a service.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)
PASSWORD_CHARACTERS = (12, 256)
_MOST_ACCOUNTS = 1_000


class AccountError(Exception):
    """What is wrong with the accounts' file or with what was asked of it, as a sentence."""


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """hash: argon2id of the password; "" where only a proxy says who it is."""

    name: str
    roles: list[Role]
    hash: str = ""

    @property
    def rights(self) -> frozenset[Right]:
        return frozenset[Right]().union(*(_RIGHTS[role] for role in self.roles))


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accounts: list[Account] = []
    version: Literal[1] = 1


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def default_file() -> Path:
    """Unless said otherwise: CLEARING_CONSOLE_ACCOUNTS, or in the one folder of everything."""
    named = os.environ.get("CLEARING_CONSOLE_ACCOUNTS")
    return Path(named) if named else default_home() / "console-accounts.json"


class Accounts:
    """The accounts of one file. A file that is not there has none; one that cannot be read lets nobody in.

    hasher: its parameters decide what a log-in costs (64 MiB and some 50 ms with argon2-cffi's own).
    """

    def __init__(self, file: Path, hasher: PasswordHasher | None = None) -> None:
        self.file = file
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hasher.hash("nobody has this password")
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, Account] = {}

    def find(self, name: str) -> Account | None:
        """Raises AccountError where the file cannot be read."""
        return self._accounts().get(name)

    def all(self) -> list[Account]:
        """By name. Raises AccountError."""
        return [account for _, account in sorted(self._accounts().items())]

    def verified(self, name: str, password: str) -> Account | None:
        """The account if the password is its own. As slow for a name nobody has. Blocks; raises AccountError."""
        account = self.find(name)
        stored = account.hash if account is not None and account.hash else self._nobody
        try:
            self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return None
        except (InvalidHashError, VerificationError) as error:
            raise AccountError(f"{self.file}: the hash of {name} is none") from error
        return account if account is not None and account.hash else None

    def add(self, name: str, roles: Iterable[Role], password: str | None) -> None:
        """Add an account or replace it. password None: only a proxy logs it in. Raises AccountError."""
        if not is_name(name):
            raise AccountError(f"{name!r} is no name: letters, digits and . _ @ + -, at most 64")
        asked = set(roles)
        wanted: list[Role] = [role for role in ROLES if role in asked]
        if not wanted:
            raise AccountError(f"an account needs a role: {', '.join(ROLES)}")
        least, most = PASSWORD_CHARACTERS
        if password is not None and not least <= len(password) <= most:
            raise AccountError(f"a password has {least} to {most} characters")
        known = dict(self._accounts())
        if name not in known and len(known) >= _MOST_ACCOUNTS:
            raise AccountError(f"{_MOST_ACCOUNTS} accounts are enough")
        hashed = "" if password is None else self._hasher.hash(password)
        known[name] = Account(name=name, roles=wanted, hash=hashed)
        self._write(known)

    def remove(self, name: str) -> None:
        """Raises AccountError where nobody has the name."""
        known = dict(self._accounts())
        if known.pop(name, None) is None:
            raise AccountError(f"there is no account {name}")
        self._write(known)

    def _accounts(self) -> dict[str, Account]:
        try:
            stat = self.file.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                stored = msgspec.json.decode(self.file.read_bytes(), type=_Stored)
                self._known = {account.name: account for account in stored.accounts}
                self._seen = seen
        except FileNotFoundError:
            self._seen, self._known = None, {}
        except (OSError, msgspec.MsgspecError) as error:
            self._seen, self._known = None, {}
            raise AccountError(f"{self.file} cannot be read: {error}") from error
        return self._known

    def _write(self, known: dict[str, Account]) -> None:
        """Aside first, then in its place: whoever reads sees all of it or what was there before."""
        stored = _Stored([account for _, account in sorted(known.items())])
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name(f"{self.file.name}.{os.getpid()}.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(stored)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.file)
        except OSError as error:
            raise AccountError(f"{self.file} cannot be written: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
