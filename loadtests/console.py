"""What both commands here do before they begin: tune the clients, and keep libraries from talking in between."""

import logging
import sys

import structlog

from clearing import kafka


def quiet() -> None:
    """Only errors, to stderr: what matters is told by the command itself."""
    logging.basicConfig(level=logging.CRITICAL)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    kafka.tune_client()
