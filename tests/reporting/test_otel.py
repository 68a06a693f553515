"""OpenTelemetry export: a run arrives as a trace and metrics, and the export disturbs nothing else."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pytest_nos_stress import MultiAgentSimulator
from pytest_nos_stress.reporting.otel import check_available, export
from pytest_nos_stress.reporting.otel.spans import MOST_OPERATIONS, sampled
from pytest_nos_stress.results.record_array import RecordArray
from pytest_nos_stress.results.records import record_dtype
from pytest_nos_stress.results.summary_types import Summary

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

START = 1_795_412_507_000_000_000
STAMP = "2026-11-23T05:41:47.000000+00:00"
END_STAMP = "2026-11-23T05:41:57.000000+00:00"
FIGURES: dict[str, Any] = {
    "test": "tests/test_desk.py::test_orders",
    "run": 1,
    "file": "tests/test_desk.py",
    "line": 12,
    "verdict": "failed",
    "passed": False,
    "failure": "errors == 0: 3",
    "seed": 7,
    "engine": "threads",
    "agents": 2,
    "operations": 60,
    "successes": 48,
    "failures": 9,
    "missing_data": 3,
    "errors": 3,
    "throughput": 6.0,
    "success_rate": 0.8,
    "failure_rate": 0.15,
    "error_rate": 0.05,
    "missing_data_rate": None,
    "fairness": None,
    "harness": "",
    "repeat": "",
    "error_types": [
        {
            "type": "ValueError",
            "count": 3,
            "message": "no such order",
            "source": "operation",
            "agent": "Ann",
            "task": "buy",
        }
    ],
}
SUMMARY = cast("Summary", FIGURES)
"""The parts of a summary that are exported."""


def made_records(size: int, errors: int = 3, agents: tuple[str, ...] = ("Ann", "Bob")) -> RecordArray:
    """Return operations of 10 s: row ``n`` takes ``n + 1`` ms. The first are errors; the last was not called."""
    numbers = np.arange(size)
    array = np.zeros(size, record_dtype(np.uint16))
    array["agent"] = numbers % len(agents)
    array["task"] = numbers // 2 % 2
    array["index"] = numbers // 2
    array["is_error"] = numbers < errors
    array["called"] = numbers < size - 1
    array["kind"] = ~array["called"]
    array["outcome"] = array["is_error"] | ~array["called"]
    array["latency"] = np.where(array["called"], (numbers + 1) * 1_000_000, 0)
    array["response_time"] = array["latency"] * 2
    array["end"] = START + (numbers + 1) * (10_000_000_000 // size)
    return RecordArray.of(array, agents=agents, tasks=("buy", "sell"), kinds=(None, "lost_request"))


def made_result(size: int = 60, **given: Any) -> SimpleNamespace:
    records = made_records(size, **given)
    stats = {"start_time": STAMP, "end_time": END_STAMP, "latency": {"count": int(records["called"].sum())}}
    return SimpleNamespace(stats=stats, records=records)


class Collector:
    """A small OTLP endpoint that keeps requests, and gives the answers that a test sets."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: tuple[int, str, bytes] = (200, "application/x-protobuf", b"")
        self.busy: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                collector.requests.append((self.path, headers, body))
                status, kind, answer = collector.answer
                if self.path in collector.busy:
                    collector.busy.remove(self.path)
                    status = 503
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for path, _, body in self.requests
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def operations(self) -> list[Any]:
        return [span for span in self.spans if span.parent_span_id]

    @property
    def run(self) -> Any:
        (span,) = (span for span in self.spans if not span.parent_span_id)
        return span

    @property
    def metrics(self) -> dict[str, Any]:
        return {
            metric.name: metric
            for path, _, body in self.requests
            if path == "/v1/metrics"
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    @property
    def resource(self) -> dict[str, Any]:
        body = next(body for path, _, body in self.requests if path == "/v1/traces")
        return attributes(ExportTraceServiceRequest.FromString(body).resource_spans[0].resource)


def attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith(("OTEL_", "TRACE")):
            monkeypatch.delenv(name)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


def test_a_run_arrives_as_a_trace_with_true_times(collector: Collector) -> None:
    assert export(made_result(), SUMMARY) == ""
    run = collector.run
    assert (run.start_time_unix_nano, run.end_time_unix_nano) == (START, START + 10_000_000_000)
    assert len(collector.operations) == 60
    for span in collector.operations:
        row = attributes(span)["stress.index"] * 2 + (attributes(span)["stress.agent"] == "Bob")
        latency = (row + 1) * 1_000_000 if row < 59 else 0
        assert span.end_time_unix_nano == START + (row + 1) * (10_000_000_000 // 60)
        assert span.end_time_unix_nano - span.start_time_unix_nano == latency
        assert span.trace_id == run.trace_id
        assert span.parent_span_id == run.span_id
    assert len({span.span_id for span in collector.spans}) == 61


def test_a_trace_continues_the_trace_of_the_ci_job(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    monkeypatch.setenv("TRACEPARENT", f"00-{trace}-{span}-01")
    assert export(made_result(), SUMMARY) == ""
    (run,) = (one for one in collector.spans if one.name == "stress run")
    assert (run.trace_id.hex(), run.parent_span_id.hex()) == (trace, span)
    assert {one.trace_id for one in collector.spans} == {run.trace_id}
    assert sum(one.parent_span_id == run.span_id for one in collector.spans) == 60


def test_a_real_run_is_exported_when_it_has_ended(collector: Collector, tmp_path: Path) -> None:
    result = MultiAgentSimulator(
        agents=2, operations_per_agent=20, min_delay=0, max_delay=0, seed=1, otel=True, output_dir=tmp_path
    ).run()
    assert result.passed
    assert len(collector.operations) == result.operations == 40
    ends = {span.end_time_unix_nano for span in collector.operations}
    assert ends == set(result.records["end"].tolist())
    outcomes = Counter(attributes(span)["stress.outcome"] for span in collector.operations)
    assert outcomes["success"] == result.successes
    run = collector.run
    assert run.start_time_unix_nano <= min(span.start_time_unix_nano for span in collector.operations)
    assert run.end_time_unix_nano == max(ends)
    assert attributes(run)["stress.seed"] == "1"


def test_a_span_describes_its_operation(collector: Collector) -> None:
    export(made_result(), SUMMARY)
    by_place = {
        (attributes(one)["stress.agent"], attributes(one)["stress.index"]): one for one in collector.operations
    }
    error = by_place["Ann", 0]
    assert error.name == "buy"
    assert error.status.code == error.status.STATUS_CODE_ERROR
    assert attributes(error) == {
        "stress.agent": "Ann",
        "stress.task": "buy",
        "stress.index": 0,
        "stress.outcome": "failed",
        "stress.called": True,
        "stress.response_time": 0.002,
        "error.type": "ValueError",
    }
    planned = by_place["Bob", 29]
    assert planned.status.code == planned.status.STATUS_CODE_UNSET
    assert attributes(planned) == {
        "stress.agent": "Bob",
        "stress.task": "sell",
        "stress.index": 29,
        "stress.outcome": "failed",
        "stress.fault": "lost_request",
        "stress.called": False,
    }


def test_the_runs_span_has_the_verdict_and_figures(collector: Collector) -> None:
    export(made_result(), SUMMARY)
    said = attributes(collector.run)
    assert said["test.case.name"] == "tests/test_desk.py::test_orders"
    assert said["test.case.result.status"] == "fail"
    assert (said["code.file.path"], said["code.line.number"]) == ("tests/test_desk.py", 12)
    assert (said["stress.seed"], said["stress.verdict"], said["stress.throughput"]) == ("7", "failed", 6.0)
    assert "stress.missing_data_rate" not in said
    assert collector.run.status.code == collector.run.status.STATUS_CODE_ERROR
    assert collector.run.status.message == "errors == 0: 3"
    (event,) = collector.run.events
    assert event.name == "exception"
    assert attributes(event)["exception.type"] == "ValueError"
    assert attributes(event)["stress.count"] == 3


def test_metrics_count_and_measure_every_operation(collector: Collector) -> None:
    result = made_result(5_000)
    assert export(result, SUMMARY) == ""
    points = collector.metrics["stress.operations"].sum.data_points
    counted = {(attributes(one)["stress.task"], attributes(one)["stress.outcome"]): one.as_int for one in points}
    expected = Counter((int(row["task"]), int(row["outcome"])) for row in result.records)
    assert counted == {
        (("buy", "sell")[task], ("success", "failed")[outcome]): count
        for (task, outcome), count in expected.items()
    }
    (errors,) = collector.metrics["stress.errors"].sum.data_points[:1]
    assert sum(one.as_int for one in collector.metrics["stress.errors"].sum.data_points) == 3
    assert (errors.start_time_unix_nano, errors.time_unix_nano) == (START, START + 10_000_000_000)
    assert collector.metrics["stress.throughput"].gauge.data_points[0].as_double == 6.0
    assert "stress.missing_data_rate" not in collector.metrics


def test_background_errors_are_counted_without_a_task(collector: Collector) -> None:
    export(made_result(20), {**SUMMARY, "errors": 5})

    points = collector.metrics["stress.errors"].sum.data_points
    assert sum(point.as_int for point in points) == 5
    assert {item.key: item.value.string_value for item in points[-1].attributes}["stress.source"] == "background"


def test_latency_is_a_histogram_for_each_task_and_outcome(collector: Collector) -> None:
    result = made_result(5_000)
    export(result, SUMMARY)
    metric = collector.metrics["stress.operation.latency"]
    assert metric.unit == "s"
    assert metric.histogram.aggregation_temporality == 2
    called = result.records[result.records["called"]]
    assert sum(one.count for one in metric.histogram.data_points) == called.size
    for point in metric.histogram.data_points:
        tags = attributes(point)
        task = result.records.tasks.index(tags["stress.task"])
        outcome = result.records.outcomes.index(tags["stress.outcome"])
        own = called["latency"][(called["task"] == task) & (called["outcome"] == outcome)] / 1e9
        edges = np.concatenate([[-np.inf], point.explicit_bounds, [np.inf]])
        in_buckets = [int(((own > low) & (own <= high)).sum()) for low, high in pairwise(edges)]
        assert list(point.bucket_counts) == in_buckets
        assert (point.count, point.min, point.max) == (own.size, own.min(), own.max())
        assert point.sum == pytest.approx(own.sum())


def test_a_backend_that_prefers_deltas_gets_them(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    export(made_result(), SUMMARY)
    assert collector.metrics["stress.operations"].sum.aggregation_temporality == 1


def test_a_run_that_has_no_durations_has_no_histograms(collector: Collector) -> None:
    result = made_result()
    result.stats["latency"]["count"] = 0
    assert export(result, SUMMARY) == ""
    assert "stress.operations" in collector.metrics
    assert "stress.operation.latency" not in collector.metrics


def test_a_long_runs_trace_is_a_sample_with_its_errors(collector: Collector) -> None:
    assert export(made_result(20_000, errors=100), SUMMARY) == ""
    assert len(collector.operations) == MOST_OPERATIONS
    assert sum(span.status.code == span.status.STATUS_CODE_ERROR for span in collector.operations) == 100
    assert attributes(collector.run)["stress.operations.sampled"] == MOST_OPERATIONS


def test_errors_leave_room_for_successful_operations() -> None:
    records = made_records(20_000, errors=10_000)
    chosen = records[sampled(records, 7, {})]
    assert chosen.size == MOST_OPERATIONS
    assert chosen["is_error"].sum() == MOST_OPERATIONS // 2


def test_a_seed_shows_the_same_operations_whatever_their_order() -> None:
    records = made_records(20_000)
    shuffled = records[np.random.default_rng(1).permutation(records.size)]

    def operations(of: RecordArray, seed: int) -> set[tuple[int, int]]:
        rows = of[sampled(of, seed, {})]
        return set(zip(rows["agent"].tolist(), rows["index"].tolist(), strict=True))

    assert operations(records, 7) == operations(shuffled, 7)
    assert operations(records, 7) != operations(records, 8)


def test_a_sample_is_even_over_the_run() -> None:
    records = made_records(20_000, errors=0)
    quarters = np.bincount(sampled(records, 7, {}) // 5_000, minlength=4)
    # 1,000 of 20,000 at random: 250 in a quarter, standard deviation 13.3; five of them.
    assert np.all(abs(quarters - 250) < 67)


@pytest.mark.parametrize(
    ("sampler", "argument", "least", "most"),
    [
        ("always_on", None, 5_000, 5_000),
        ("parentbased_traceidratio", "0.1", 390, 610),
        ("traceidratio", "0", 0, 0),
    ],
)
def test_the_standard_sampler_names_the_share_of_operations(
    sampler: str, argument: str | None, least: int, most: int
) -> None:
    variables = {"OTEL_TRACES_SAMPLER": sampler}
    if argument is not None:
        variables["OTEL_TRACES_SAMPLER_ARG"] = argument
    # For a tenth of 5,000: 500, standard deviation 21; five of them.
    assert least <= sampled(made_records(5_000), 7, variables).size <= most


def test_always_off_sends_metrics_alone(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert export(made_result(), SUMMARY) == ""
    assert [path for path, _, _ in collector.requests] == ["/v1/metrics"]


def test_every_operation_arrives_in_several_requests(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    assert export(made_result(4_500), SUMMARY, deadline=30) == ""
    assert len({span.span_id for span in collector.operations}) == 4_500
    assert sum(path == "/v1/traces" for path, _, _ in collector.requests) == 3


def test_the_standard_variables_decide_service_resource_and_headers(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(made_result(), SUMMARY)
    assert collector.resource["service.name"] == "pytest-nos-stress"
    collector.requests.clear()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "desk")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=ci,team=orders")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
    export(made_result(), SUMMARY)
    assert collector.resource["service.name"] == "desk"
    assert collector.resource["team"] == "orders"
    assert collector.requests[0][1]["x-key"] == "secret"


def test_one_signal_can_be_left_out(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    assert export(made_result(), SUMMARY) == ""
    assert [path for path, _, _ in collector.requests] == ["/v1/traces"]


def test_a_disabled_sdk_sends_nothing(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert export(made_result(), SUMMARY) == ""
    assert collector.requests == []


def test_names_of_any_characters_arrive(collector: Collector) -> None:
    names = ('<b onclick="x">', "../..\x1b[31m\n\ud800")
    assert export(made_result(agents=names), SUMMARY) == ""
    assert {attributes(span)["stress.agent"] for span in collector.operations} == {
        '<b onclick="x">',
        "../..\\x1b[31m\\n\\ud800",
    }


def test_a_run_without_operations_is_a_span_and_rates(collector: Collector) -> None:
    result = made_result()
    result.records = result.records[:0]
    result.stats["latency"]["count"] = 0
    assert export(result, {**SUMMARY, "error_types": []}) == ""
    assert collector.operations == []
    assert collector.run.end_time_unix_nano == START + 10_000_000_000


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_refused_connection_is_one_line_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    url = closed_port()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    start = time.monotonic()
    assert export(made_result(), SUMMARY, deadline=60) == (
        f"OpenTelemetry: traces not sent to {url}/v1/traces: Connection refused; "
        f"metrics not sent to {url}/v1/metrics: Connection refused"
    )
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("said", [b"", b"\0\xffgarbage\r\n\r\n"], ids=["silent", "garbage"])
def test_an_endpoint_that_hangs_or_sends_nonsense_is_abandoned(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        connections: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connections.append(connection)
                if said:
                    connection.sendall(said)

        server = threading.Thread(target=serve)
        server.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        start = time.monotonic()
        line = export(made_result(), SUMMARY, deadline=0.7)
        took = time.monotonic() - start
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
        for connection in connections:
            connection.close()
    reason = "BadStatusLine" if said else "no answer in time"
    assert line.startswith(f"OpenTelemetry: traces not sent to {url}/v1/traces: {reason}")
    assert f"metrics not sent to {url}/v1/metrics: {reason}" in line
    assert "\n" not in line
    assert took < 20
    assert not [thread for thread in threading.enumerate() if "telemetry" in thread.name]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, "text/plain", b"out of order"), "HTTP 500 Internal Server Error"),
        ((404, "text/plain", b""), "HTTP 404 Not Found"),
        ((302, "text/plain", b""), "HTTP 302 Found"),
        (
            (200, "text/html", b"<h1>Log in</h1>"),
            "the answer is a web page, not an OTLP response; check the endpoint's address",
        ),
        ((200, "application/x-protobuf", b"\xff\xff"), "the answer cannot be read (application/x-protobuf)"),
        (
            (200, "application/json", b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}'),
            "2 rejected: too old",
        ),
    ],
)
def test_an_unsuccessful_answer_is_reported(
    collector: Collector, answer: tuple[int, str, bytes], words: str
) -> None:
    collector.answer = answer
    line = export(made_result(), SUMMARY, deadline=60)
    assert line.startswith(
        f"OpenTelemetry: traces not sent to {collector.url}/v1/traces: {words}; metrics not sent to "
    )


def test_a_busy_endpoint_is_retried(collector: Collector) -> None:
    collector.busy = {"/v1/traces", "/v1/metrics"}
    assert export(made_result(), SUMMARY) == ""
    assert sorted(path for path, _, _ in collector.requests) == ["/v1/metrics"] * 2 + ["/v1/traces"] * 2


def test_an_endpoint_that_stays_busy_is_abandoned(collector: Collector) -> None:
    collector.answer = (429, "text/plain", b"")
    line = export(made_result(), SUMMARY, deadline=1.2)
    assert "HTTP 429 Too Many Requests; metrics" in line


def test_rejected_spans_are_reported(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 61
    answer.partial_success.error_message = "quota\nused up"
    collector.answer = (200, "application/x-protobuf", answer.SerializeToString())
    line = export(made_result(), SUMMARY)
    assert line == f"OpenTelemetry: traces not sent to {collector.url}/v1/traces: 61 rejected: quota\\nused up"


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            "OTEL_EXPORTER_OTLP_PROTOCOL='http/json': must be http/protobuf or grpc",
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "sometimes",
            "OTEL_TRACES_SAMPLER='sometimes': must be always_on, always_off or traceidratio",
        ),
    ],
)
def test_an_invalid_variable_is_reported(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert line in export(made_result(), SUMMARY)


def test_an_endpoint_that_is_not_an_address_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")
    line = export(made_result(), SUMMARY)
    assert line.startswith("OpenTelemetry: traces not sent to collector/v1/traces: MissingSchema: ")


def test_credentials_in_an_endpoint_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", closed_port().replace("//", "//me:secret@"))
    line = export(made_result(), SUMMARY)
    assert "Connection refused" in line
    assert "secret" not in line


def test_a_failure_writes_nothing_to_terminal_or_log(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", closed_port())
    assert export(made_result(), SUMMARY)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").warning("the target's own")
    assert [record.message for record in caplog.records] == ["the target's own"]


def test_a_run_that_cannot_be_exported_is_one_line() -> None:
    assert export(SimpleNamespace(stats={}, records=made_records(3)), SUMMARY).startswith(
        "OpenTelemetry: nothing was sent: KeyError: "
    )


def test_the_targets_own_providers_and_the_tests_random_numbers_are_left_alone(collector: Collector) -> None:
    import random

    providers = trace_api.get_tracer_provider(), metrics_api.get_meter_provider()
    random.seed(1)
    assert export(made_result(), SUMMARY) == ""
    drawn = random.random()
    random.seed(1)
    assert drawn == random.random()
    assert (trace_api.get_tracer_provider(), metrics_api.get_meter_provider()) == providers


def test_packages_are_checked_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    check_available()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon")
    with pytest.raises(ValueError, match=r"^otel=True: OTEL_EXPORTER_OTLP_PROTOCOL='carrier pigeon': must be "):
        check_available()


def test_a_missing_sdk_is_one_line_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    assert (
        export(made_result(), SUMMARY)
        == 'OpenTelemetry: needs the OpenTelemetry SDK: pip install "pytest-nos-stress[otel]"'
    )
