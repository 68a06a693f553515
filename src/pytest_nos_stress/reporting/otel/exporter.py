"""How a run's trace and metrics get to an OTLP endpoint, by the SDK's exporters and the standard variables.

Guarantees: what goes wrong is a line of text. Nothing is written to the log or the terminal, warnings included;
the caller waits no longer than the deadline; and no thread is left where the endpoint answers, refuses or keeps
silent. (A name server that does not answer, or an endpoint that answers a byte at a time, may hold a daemon thread
for a while: Python cannot interrupt it.) An endpoint that is not there is not tried twice: nobody starts a
collector meanwhile.

Each signal is sent in a thread of its own, so that an endpoint which wants only one of them gets it in time.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

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
"""The answers after which OTLP has a client try again."""
_FIRST_PAUSE: Final = 0.2
_INSTALL: Final = 'needs the OpenTelemetry SDK: pip install "pytest-nos-stress[otel]"'


Payload = Callable[[], Iterable[Any]]
"""Makes the batches of a signal: one request for each."""


class NotSent(Exception):
    """Why something was not sent, in a line."""


def check_packages() -> None:
    """Raise ``NotSent`` where the exporters that the standard variables ask for are not installed."""
    with _no_warnings():
        for signal in _SIGNALS:
            _exporter_class(signal)


def send(payloads: Mapping[str, Payload], deadline: float) -> str:
    """Send each signal's batches; returns "" or a line of what was not sent, and why.

    Raises ``NotSent`` where nothing can be sent.
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
    """The exporter for a signal; None where ``OTEL_TRACES_EXPORTER`` or ``OTEL_METRICS_EXPORTER`` wants none."""
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


class _Sender(threading.Thread):
    """Sends what there is of one signal; ``wait()`` says what went wrong."""

    def __init__(self, signal: str, exporter: Any, payload: Payload, deadline: float) -> None:
        super().__init__(name=f"stress telemetry ({signal})", daemon=True)
        self._signal = signal
        self._exporter_class = exporter
        self._payload = payload
        self._deadline = deadline
        self._until = time.monotonic() + deadline
        self._exporter: Any = None
        self._problem = ""
        self._sent = 0

    def wait(self) -> str:
        """Wait for the end, or for the deadline."""
        self.join(max(0.0, self._until - time.monotonic()))
        if not self.is_alive():
            return self._problem
        if self._exporter is not None:
            with suppress(Exception):
                self._exporter.shutdown()
        self.join(0.2)
        return self._said(_NO_ANSWER)

    def run(self) -> None:
        said: list[str] = []
        _quiet.said = said
        try:
            with _uninstrumented():
                self._export()
        except NotSent as problem:
            self._problem = self._said(str(problem))
        except BaseException as error:
            self._problem = self._said(said[-1] if said else f"{type(error).__name__}: {error}")

    def _export(self) -> None:
        options: dict[str, Any] = {"timeout": self._deadline}
        session = None
        if "http" in self._exporter_class.__module__.split("."):
            session = options["session"] = _session(self._until)
        self._exporter = self._exporter_class(**options)
        try:
            for batch in self._payload():
                if time.monotonic() >= self._until:
                    raise NotSent(f"time was up after {self._sent} requests ({self._deadline:g} s)")
                answer = self._exporter.export(batch)
                reason = session.problem if session is not None else ""
                if reason or answer.name != "SUCCESS":
                    raise NotSent(reason or (_quiet.said or ["the exporter gave no reason"])[-1])
                self._sent += 1
        finally:
            with suppress(Exception):
                self._exporter.shutdown()

    def _said(self, reason: str) -> str:
        endpoint = _without_credentials(str(getattr(self._exporter, "_endpoint", "") or ""))
        destination = f" to {endpoint}" if endpoint else ""
        how = "not all sent" if self._sent else "not sent"
        return f"{self._signal} {how}{destination}: {shorten(escape_controls(reason), _LONGEST)}"


def _session(until: float) -> Any:
    """A session that keeps to the time there is, tries again only where it is told so, and reads the answer."""
    requests = import_module("requests")

    class Session(requests.Session):  # type: ignore[misc, name-defined]
        problem = ""

        def request(self, *arguments: Any, **options: Any) -> Any:
            pause = _FIRST_PAUSE
            response = self._requested(*arguments, **options)
            while response.status_code in _BUSY and time.monotonic() + pause < until:
                time.sleep(pause)
                pause *= 2
                response = self._requested(*arguments, **options)
            self.problem = _found_in(response)
            if self.problem:
                raise NotSent(self.problem)
            return response

        def _requested(self, *arguments: Any, **options: Any) -> Any:
            options["timeout"] = max(0.01, until - time.monotonic())
            try:
                return super().request(*arguments, **options)
            except requests.exceptions.Timeout:
                self.problem = _NO_ANSWER
            except requests.exceptions.RequestException as error:
                self.problem = _innermost(error)
            raise NotSent(self.problem)

    return Session()


def _innermost(error: BaseException) -> str:
    """What the operating system or the library said first, without what the layers above it wrapped around."""
    reason: Any = error
    while (inner := getattr(reason, "reason", None) or reason.__cause__ or reason.__context__) is not None:
        if not isinstance(inner, BaseException):
            break
        reason = inner
    return getattr(reason, "strerror", None) or f"{type(reason).__name__}: {reason}"


def _found_in(response: Any) -> str:
    """What an answer has to say against what was sent; "" where all was accepted."""
    if response.status_code >= 300:
        return f"HTTP {response.status_code} {response.reason}".rstrip()
    kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "text/html":
        return "the answer is a web page: this is no OTLP endpoint"
    try:
        rejected, message = _partial_success(kind, response.content)
    except Exception:
        return f"the answer cannot be read ({kind})"
    return f"{rejected} rejected: {message}".removesuffix(": ") if rejected else ""


def _partial_success(kind: str, body: bytes) -> tuple[int, str]:
    """How many spans or points an endpoint has rejected, and why. Both messages have one shape on the wire."""
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
    """Keeps what the SDK logs in a sender's thread for the sender; other threads' records pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        said: list[str] | None = getattr(_quiet, "said", None)
        if said is None:
            return True
        if record.levelno >= logging.WARNING:
            said.append(record.getMessage())
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
    """The SDK draws its pauses from the random module, whose state is the test's."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _uninstrumented() -> Iterator[None]:
    """Instrumentations of requests, urllib3 and others that the target uses leave what is sent here alone."""
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
