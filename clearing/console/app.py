"""The web application: routes, who may use them, and how it ends. Nothing starts at import."""

from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ASGIApp

from clearing.console import (
    files,
    routes_acting,
    routes_finding,
    routes_reading,
    routes_redrive,
    routes_session,
    stream,
)
from clearing.console.desk import Desk
from clearing.console.files import WebFile
from clearing.console.refusals import told
from clearing.console.shield import Shield

BODY_MOST = 2 << 20

ROUTES = [
    *files.ROUTES,
    *routes_session.ROUTES,
    *routes_reading.ROUTES,
    *routes_finding.ROUTES,
    *routes_acting.ROUTES,
    *routes_redrive.ROUTES,
    *stream.ROUTES,
]


def application(desk: Desk, web: dict[str, WebFile]) -> Litestar:
    """Routes without the shield around them; see `shielded`."""
    return Litestar(
        ROUTES,
        guards=[desk.door.guard],
        state=State({"desk": desk, "files": web}),
        exception_handlers={Exception: told},
        request_max_body_size=BODY_MOST,
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


def shielded(desk: Desk, web: dict[str, WebFile]) -> ASGIApp:
    """What a server is given."""
    return Shield(application(desk, web), desk.front)
