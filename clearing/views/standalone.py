"""The app for Faust's own runner: `faust -A clearing.views worker`. Settings are those of `clearing views`."""

from functools import cache

import prometheus_client

from clearing import config, security
from clearing.views.faust_app import ViewsApp, build_app


@cache
def app() -> ViewsApp:
    """The app of this process; its metrics are served once a worker begins. Raises ConfigError."""
    settings = config.load()
    security.use(settings)
    made = build_app(settings)

    @cache  # Faust's command says twice that its worker begins
    def serve() -> None:
        if settings.metrics_port >= 0:
            prometheus_client.start_http_server(settings.metrics_port, addr=settings.metrics_host)

    @made.on_worker_init.connect
    def begins(*_: object, **__: object) -> None:
        serve()

    return made
