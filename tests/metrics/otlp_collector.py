"""An OpenTelemetry collector on loopback: takes metrics over OTLP/HTTP as protocol buffers."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint

from ocr_pipeline.metrics import Kind
from tests.metrics.samples import Sample, Tags

_PATH = "/v1/metrics"
_TYPE = "application/x-protobuf"


class OtlpCollector:
    """Keeps what it is sent. A context manager."""

    def __init__(self) -> None:
        self._exports: list[ExportMetricsServiceRequest] = []
        self.refused: list[str] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if (self.path, self.headers["Content-Type"]) != (_PATH, _TYPE):
                    collector.refused.append(f"{self.path}: {self.headers['Content-Type']}")
                    self.send_error(400)
                    return
                collector._exports.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Type", _TYPE)
                self.end_headers()
                self.wfile.write(ExportMetricsServiceResponse().SerializeToString())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def samples(self, prefix: str) -> list[Sample]:
        """What was sent so far under names with ``prefix``: of a counter, what each process has added up to."""
        found: dict[tuple[str, Tags, int], Sample] = {}
        for export in list(self._exports):
            for resource in export.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        if metric.name.startswith(prefix):
                            # Each process begins at a time of its own, and a later export takes an earlier's place.
                            for point in _points(metric):
                                tags = _tags(point.attributes)
                                value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
                                sample = Sample(metric.name, tags, _kind(metric), value)
                                found[metric.name, tags, point.start_time_unix_nano] = sample
        return list(found.values())


def _kind(metric: Metric) -> Kind | None:
    match metric.WhichOneof("data"):
        case "sum" if metric.sum.is_monotonic:
            return Kind.COUNTER
        case "gauge":
            return Kind.GAUGE
        case _:
            return None


def _points(metric: Metric) -> list[NumberDataPoint]:
    match metric.WhichOneof("data"):
        case "sum":
            return list(metric.sum.data_points)
        case "gauge":
            return list(metric.gauge.data_points)
        case _:
            return []


def _tags(attributes: list[KeyValue]) -> Tags:
    return frozenset((attribute.key, attribute.value.string_value) for attribute in attributes)
