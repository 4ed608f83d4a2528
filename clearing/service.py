"""One service as a process: event loop, logs, metrics endpoint, heartbeats, signals, exit code.

A service is a coroutine `run(settings, ready)` that works until it is cancelled and cleans up behind
itself. All that belongs to the process and not to the service is here; nothing of it is in the services.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import prometheus_client
import structlog
import uvloop
from structlog.tracebacks import ExceptionDictTransformer

from clearing import __version__, kafka
from clearing.config import ConfigError, Settings
from clearing.failures import ExitCode, explain
from clearing.heartbeats import beating, vitals
from clearing.tuning import tune_memory

Service = Callable[[Settings, Callable[[], None]], Awaitable[None]]

_UP = prometheus_client.Gauge("clearing_up", "1 once the service is ready", ["service"])
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logs(settings: Settings) -> None:
    """Log lines to stderr: one JSON object each, or for people when stderr is a terminal.

    The standard library's loggers (aiokafka, asyncpg) go through the same renderer, from warnings on.
    """
    level = _LEVELS.get(settings.log_level.lower())
    if level is None:
        raise ConfigError(f"log_level is {settings.log_level!r}: one of {', '.join(_LEVELS)}")
    if settings.log_format not in ("auto", "json", "console"):
        raise ConfigError(f"log_format is {settings.log_format!r}: one of auto, json, console")
    for_people = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks without the values of variables, among which secrets are.
    render: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if for_people
        else [
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(default=str),
        ]
    )
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)


def serve_metrics(settings: Settings) -> int | None:
    """Start the Prometheus endpoint; its port, None when it is switched off (metrics_port -1)."""
    if settings.metrics_port < 0:
        return None
    try:
        server, _ = prometheus_client.start_http_server(
            settings.metrics_port, addr=settings.metrics_host
        )
    except OSError as error:
        raise ConfigError(
            f"metrics_port {settings.metrics_port} on {settings.metrics_host}: {error.strerror}"
        ) from error
    return server.server_port


async def _until_stopped(name: str, service: Service, settings: Settings) -> signal.Signals | None:
    """Run until the service ends or a signal asks for it; the signal, None if it ended by itself.

    The first SIGTERM or SIGINT cancels the service, which then cleans up; a second one kills the
    process at once: whoever waits for a clean-up that hangs can get out.
    """
    log = structlog.get_logger()
    task = asyncio.current_task()
    assert task is not None
    received: list[signal.Signals] = []

    def stop(which: signal.Signals) -> None:
        if received:
            os._exit(128 + which)
        received.append(which)
        vitals.is_stopping = True
        log.info("stopping", signal=which.name)
        task.cancel()

    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stop, which)

    def ready() -> None:
        _UP.labels(name).set(1)
        vitals.is_ready = True
        log.info("ready")

    try:
        async with beating(name, settings):
            await service(settings, ready)
    except asyncio.CancelledError:
        if not received:
            raise
    return received[0] if received else None


def run_service(
    name: str, service: Service, settings: Settings, *, debug: bool = False
) -> ExitCode:
    """Run one service as this process and say how it ended.

    OK after SIGTERM, INTERRUPTED after Ctrl-C, HALTED when money cannot go on without a person,
    UNREACHABLE when Kafka or the ledger could not be reached (a supervisor may start it again).
    """
    configure_logs(settings)
    structlog.contextvars.bind_contextvars(service=name)
    log: Any = structlog.get_logger()
    try:
        port = serve_metrics(settings)
        log.info(
            "starting",
            version=__version__,
            pid=os.getpid(),
            bootstrap=settings.bootstrap,
            metrics_port=port,
        )
        kafka.tune_client()
        tune_memory()
        received = uvloop.run(_until_stopped(name, service, settings))
    except (Exception, asyncio.CancelledError) as error:
        failure = explain(error, bootstrap=settings.bootstrap, dsn=settings.dsn)
        log.log(
            logging.ERROR,
            "failed",
            error=failure.message,
            next=failure.hint,
            exit_code=int(failure.code),
            exc_info=debug,
        )
        return failure.code
    log.info("stopped")
    return ExitCode.INTERRUPTED if received == signal.SIGINT else ExitCode.OK
