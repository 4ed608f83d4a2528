"""`clearing compile`: machine code of the services' loops, before their first start. See clearing.core.compiled."""

import time
from typing import Any, cast

from clearing.cli.session import Given


def compile_loops(*, session: Given) -> None:
    """Compile the services' loops before their first start, which would take ten seconds longer otherwise.

    `make` does this after the install, an image's build should:

        clearing compile

    What is compiled stays beside the code if that folder may be written to, else in the user's cache folder; the
    environment variable NUMBA_CACHE_DIR names another. It holds for this kind of processor and this version; where
    nothing fits, a service compiles for itself before it begins to work. Run again, it compiles nothing.
    """
    from numba.core import event

    from clearing.dispatch import written
    from clearing.engine import warming
    from clearing.intake import decode

    begun = time.monotonic()
    numba = cast(Any, event)
    with session.progress("compiling") as progress, numba.install_recorder("numba:compile") as seen:
        for service, warm in (
            ("intake", decode.warm),
            ("engine", warming.warm),
            ("dispatch", written.warm),
        ):
            progress.tell(service)
            warm()
    seconds = round(time.monotonic() - begun, 1)
    loops = sum(each.is_end for _, each in seen.buffer)
    session.show(
        {"compiled": loops, "seconds": seconds}, lambda _: f"{loops} loops compiled, in {seconds} s"
    )
