"""`clearing views`: one process of the views, until SIGTERM or Ctrl-C. See clearing.views and clearing.service."""

from clearing.cli.services import MetricsPort
from clearing.cli.session import Given
from clearing.failures import ExitCode


def views(*, rebuild: bool = False, metrics_port: MetricsPort = None, session: Given) -> ExitCode:
    """Run the views: fold what the engine says into what the console and `clearing top` show.

    Several share the netting sets. They decide nothing, and may be stopped or rebuilt at any time.

        clearing views --metrics-port 9105

    Parameters
    ----------
    rebuild
        First forget all views, then build them again from the engine's topics. None may be running.
    metrics_port
        Port of the Prometheus endpoint. 0: any free port, the log says which. -1: none.
    """
    from clearing.service import run_service
    from clearing.views.rebuild import forget_views
    from clearing.views.worker import run

    settings = session.settings_with(metrics_port=metrics_port)
    if rebuild:
        session.run(forget_views(settings, session.note))
    return run_service("views", run, settings, debug=session.options.debug)
