"""The operators' console of a demo: where it is, and two people who may log in, as four eyes need two."""

import asyncio
import secrets
from pathlib import Path
from typing import NamedTuple

from clearing.dev.process import ServerError, free_port
from clearing.dev.services import service_command

PORT = 8780  # if nobody has it
PEOPLE = {"operator": ["operator"], "approver": ["approver", "auditor"]}  # name → roles
_PASSWORD_BYTES = 9


class DemoConsole(NamedTuple):
    """accounts: its file of them. password: of all PEOPLE, made for this run."""

    port: int
    accounts: Path
    password: str

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, role: str) -> list[str]:
        """Program and arguments of every service, this one among them."""
        if role != "console":
            return service_command(role)
        where = ["--port", str(self.port), "--accounts", str(self.accounts)]
        return [*service_command(role), *where]

    async def admit(self) -> None:
        """Make the accounts, as a person would. Raises ServerError."""
        for name, roles in PEOPLE.items():
            given = [part for role in roles for part in ("--role", role)]
            adding = await asyncio.create_subprocess_exec(
                *service_command("console"),
                *("user", "add", name, *given, "--accounts", str(self.accounts)),
                "--password-stdin",
                stdin=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await adding.communicate(self.password.encode())
            if adding.returncode:
                raise ServerError(f"no account for the console: {said.decode(errors='replace')}")


def demo_console(folder: Path) -> DemoConsole:
    """A console to be started, its accounts in this folder."""
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    return DemoConsole(free_port(PORT), folder / "console-accounts.json", password)
