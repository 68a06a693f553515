"""Export of a run's trace and metrics to an OTLP endpoint, by the SDK's exporters and the standard variables.

Guarantees:

- A problem is one line of text. Nothing is written to the log or the terminal, not even warnings.
- The caller waits no longer than the deadline.
- No thread is left, whether the endpoint answers, refuses or stays silent. Exception: a name server that does not
  answer, or an endpoint that answers one byte at a time, can block a daemon thread for a while, because Python
  cannot interrupt it.

An endpoint that refuses the connection is not retried, because nobody starts a collector within seconds. Each
signal is sent in a separate thread, so an endpoint that accepts only one of them gets it in time.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from pytest_nos_stress._internal.instrument import Thread, perf_counter, sleep
from pytest_nos_stress._internal.text import escape_controls, shorten

DEADLINE: Final = 5.0
"""Seconds that an export may take."""

_LOGGERS: Final = ("opentelemetry", "urllib3", "requests", "grpc")
_PROTOCOLS: Final = {"http/protobuf": "http", "grpc": "grpc"}
_SIGNALS: Final = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
}
_NEEDED: Final = (
    "opentelemetry.sdk.resources",
    "opentelemetry.sdk.trace",
    "opentelemetry.sdk.metrics.export",
)
_LONGEST: Final = 300
_NO_ANSWER: Final = "no answer in time"
_BUSY: Final = (429, 502, 503, 504)
"""HTTP statuses after which an OTLP client retries."""
_FIRST_PAUSE: Final = 0.2
_INSTALL: Final = 'needs the OpenTelemetry SDK: pip install "pytest-nos-stress[otel]"'


Payload = Callable[[], Iterable[Any]]
"""Function that makes the batches of a signal, each for one request."""


class NotSent(Exception):
    """Raised if something was not sent. The message is the reason, on one line."""


def check_packages() -> None:
    """Raise ``NotSent`` if an exporter that the standard variables select is not installed."""
    with _no_warnings():
        for signal in _SIGNALS:
            _exporter_class(signal)


def send(payloads: Mapping[str, Payload], deadline: float) -> str:
    """Send the batches of each signal. Returns "", or one line with what was not sent and the reason.

    Raises ``NotSent`` if nothing can be sent.
    """
    with _no_warnings(), _random_module_kept():
        exporters = {signal: exporter for signal in payloads if (exporter := _exporter_class(signal)) is not None}
        with _no_logging():
            senders = [
                _Sender(signal, exporter, payloads[signal], deadline) for signal, exporter in exporters.items()
            ]
            for sender in senders:
                sender.start()
            problems = [problem for sender in senders if (problem := sender.wait())]
    return "; ".join(problems)


def _exporter_class(signal: str) -> Any:
    """Return the exporter class of a signal; None if ``OTEL_<signal>_EXPORTER`` is ``none``."""
    if os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() == "none":
        return None
    protocol = _protocol(signal)
    module, name = _SIGNALS[signal]
    try:
        for needed in _NEEDED:
            import_module(needed)
    except ImportError:
        raise NotSent(_INSTALL) from None
    try:
        return getattr(import_module(f"opentelemetry.exporter.otlp.proto.{_PROTOCOLS[protocol]}.{module}"), name)
    except ImportError:
        package = f"opentelemetry-exporter-otlp-proto-{_PROTOCOLS[protocol]}"
        raise NotSent(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: needs {package}: pip install {package}") from None


def _protocol(signal: str) -> str:
    for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = os.environ.get(variable, "").strip().lower()
        if protocol and protocol not in _PROTOCOLS:
            raise NotSent(f"{variable}={protocol!r}: must be {' or '.join(_PROTOCOLS)}")
        if protocol:
            return protocol
    return "http/protobuf"


class _Sender(Thread):
    """Thread that sends the batches of one signal. ``wait()`` returns the problem."""

    def __init__(self, signal: str, exporter: Any, payload: Payload, deadline: float) -> None:
        super().__init__(name=f"stress telemetry ({signal})")
        self._signal = signal
        self._exporter_class = exporter
        self._payload = payload
        self._deadline = deadline
        self._until = perf_counter() + deadline
        self._exporter: Any = None
        self._problem = ""
        self._sent = 0

    def wait(self) -> str:
        """Wait for the end of the thread or for the deadline. Returns the problem, or an empty text."""
        self.join(max(0.0, self._until - perf_counter()))
        if not self.is_alive():
            return self._problem
        if self._exporter is not None:
            with suppress(Exception):
                self._exporter.shutdown()
        self.join(0.2)
        return self._problem_text(_NO_ANSWER)

    def run(self) -> None:
        logged: list[str] = []
        _quiet.logged = logged
        try:
            with _uninstrumented():
                self._export()
        except NotSent as problem:
            self._problem = self._problem_text(str(problem))
        except BaseException as error:
            self._problem = self._problem_text(logged[-1] if logged else f"{type(error).__name__}: {error}")

    def _export(self) -> None:
        options: dict[str, Any] = {"timeout": self._deadline}
        session = None
        if "http" in self._exporter_class.__module__.split("."):
            session = options["session"] = _session(self._until)
        self._exporter = self._exporter_class(**options)
        try:
            for batch in self._payload():
                if perf_counter() >= self._until:
                    raise NotSent(f"timed out after {self._sent} requests ({self._deadline:g} s)")
                answer = self._exporter.export(batch)
                reason = session.problem if session is not None else ""
                if reason or answer.name != "SUCCESS":
                    raise NotSent(reason or (_quiet.logged or ["the exporter gave no reason"])[-1])
                self._sent += 1
        finally:
            with suppress(Exception):
                self._exporter.shutdown()

    def _problem_text(self, reason: str) -> str:
        endpoint = _without_credentials(str(getattr(self._exporter, "_endpoint", "") or ""))
        destination = f" to {endpoint}" if endpoint else ""
        state = "not completely sent" if self._sent else "not sent"
        return f"{self._signal} {state}{destination}: {shorten(escape_controls(reason), _LONGEST)}"


def _session(until: float) -> Any:
    """Return a session that keeps the deadline, retries only busy endpoints, and reads the answer."""
    requests = import_module("requests")

    class Session(requests.Session):  # type: ignore[misc, name-defined]
        problem = ""

        def request(self, *arguments: Any, **options: Any) -> Any:
            pause = _FIRST_PAUSE
            response = self._requested(*arguments, **options)
            while response.status_code in _BUSY and perf_counter() + pause < until:
                sleep(pause)
                pause *= 2
                response = self._requested(*arguments, **options)
            self.problem = _problem_in(response)
            if self.problem:
                raise NotSent(self.problem)
            return response

        def _requested(self, *arguments: Any, **options: Any) -> Any:
            options["timeout"] = max(0.01, until - perf_counter())
            try:
                return super().request(*arguments, **options)
            except requests.exceptions.Timeout:
                self.problem = _NO_ANSWER
            except requests.exceptions.RequestException as error:
                self.problem = _innermost(error)
            raise NotSent(self.problem)

    return Session()


def _innermost(error: BaseException) -> str:
    """Return the innermost cause of an error: the message of the operating system or the library."""
    reason: Any = error
    while (inner := getattr(reason, "reason", None) or reason.__cause__ or reason.__context__) is not None:
        if not isinstance(inner, BaseException):
            break
        reason = inner
    return getattr(reason, "strerror", None) or f"{type(reason).__name__}: {reason}"


def _problem_in(response: Any) -> str:
    """Return the problem that a response reports; "" if the endpoint accepted everything."""
    if response.status_code >= 300:
        return f"HTTP {response.status_code} {response.reason}".rstrip()
    kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "text/html":
        return "the answer is a web page, not an OTLP response; check the endpoint's address"
    try:
        rejected, message = _partial_success(kind, response.content)
    except Exception:
        return f"the answer cannot be read ({kind})"
    return f"{rejected} rejected: {message}".removesuffix(": ") if rejected else ""


def _partial_success(kind: str, body: bytes) -> tuple[int, str]:
    """Return the number of spans or points that an endpoint rejected, and its reason.

    The messages for spans and for points have the same wire format.
    """
    if not body:
        return 0, ""
    if kind == "application/json":
        partial_success = json.loads(body).get("partialSuccess", {})
        rejected = partial_success.get("rejectedSpans") or partial_success.get("rejectedDataPoints") or 0
        return int(rejected), str(partial_success.get("errorMessage", ""))
    if kind != "application/x-protobuf":
        return 0, ""
    service = import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    answer = service.ExportTraceServiceResponse.FromString(body).partial_success
    return answer.rejected_spans, answer.error_message


def _without_credentials(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


_quiet = threading.local()


class _Quiet(logging.Filter):
    """Filter that gives a sender the SDK's log records of its thread. Records of other threads pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        logged: list[str] | None = getattr(_quiet, "logged", None)
        if logged is None:
            return True
        if record.levelno >= logging.WARNING:
            logged.append(record.getMessage())
        return False


@contextmanager
def _no_logging() -> Iterator[None]:
    quiet = _Quiet()
    known = logging.getLogger().manager.loggerDict
    loggers = [
        logger
        for name, logger in list(known.items())
        if name.split(".")[0] in _LOGGERS and isinstance(logger, logging.Logger)
    ]
    for logger in loggers:
        logger.addFilter(quiet)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(quiet)


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _random_module_kept() -> Iterator[None]:
    """Restore the state of the random module, which belongs to the test: the SDK draws its pauses from it."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _uninstrumented() -> Iterator[None]:
    """Suppress the target's OpenTelemetry instrumentations of requests, urllib3 and others for this export."""
    context = import_module("opentelemetry.context")
    keys = [getattr(context, name, name) for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")]
    suppressed = context.get_current()
    for key in keys:
        suppressed = context.set_value(key, True, suppressed)
    token = context.attach(suppressed)
    try:
        yield
    finally:
        context.detach(token)
