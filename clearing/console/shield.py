"""Around the whole application: which host names it answers to, and the headers of every answer.

Plain ASGI, so that nothing that answers, not even an error page, goes round it.
"""

import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from clearing.console.access import Front
from clearing.console.refusals import Problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HTTPS_ONLY = {b"strict-transport-security": b"max-age=31536000; includeSubDomains"}


class Shield:
    """The application behind it sees only requests for a host that is ours."""

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self._app = app
        self._front = front
        self._headers = HEADERS | (HTTPS_ONLY if front.is_https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                named = {name.lower() for name, _ in headers}
                headers += [
                    (name, value) for name, value in self._headers.items() if name not in named
                ]
                if b"cache-control" not in named:
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers
            await send(message)

        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        if len(hosts) == 1 and hosts[0].decode("latin-1").lower() in self._front.hosts:
            await self._app(scope, receive, shielded)
        else:
            await _misdirected(shielded)


async def _misdirected(send: Send) -> None:
    problem = Problem(
        "this console does not answer to that host name", "BAD_REQUEST", "--public-url https://…"
    )
    body = msgspec.json.encode(problem)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
