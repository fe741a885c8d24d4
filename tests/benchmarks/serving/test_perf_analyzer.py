"""The page of `benchmarks/serving/perf_analyzer.py`: perf_analyzer's figures in milliseconds, and failures."""

import pytest

from benchmarks.serving.perf_analyzer import figures, page

REPORT = """Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency
4,5506.45,49,297,232,19,100,0,0,685,745,770,943
"""


def test_converts_microseconds_to_milliseconds():
    found = figures(REPORT)
    assert found["per_s"] == 5506.45
    assert (found["p50_ms"], found["p99_ms"]) == (0.685, 0.943)
    assert sum(found[name] for name in ("network_ms", "queue_ms", "input_ms", "infer_ms")) == pytest.approx(0.648)


def test_page_has_a_row_for_each_way_and_failures():
    rows = [
        {"name": "HTTP, binary", "concurrency": 4, "requests": 9, "errors": 0} | figures(REPORT),
        {"name": "gRPC", "concurrency": 1, "requests": 0, "errors": 0, "problem": "exit code 99: no"},
    ]
    text = page(
        {
            "site": {"processor": "a processor", "cores": 2},
            "measured_at": "2026-01-01T00:00:00+00:00",
            "versions": {"perf_analyzer": "2.48.0"},
            "bundle": "lenet",
            "interval_s": 2.0,
            "stability_percent": 15,
            "rows": rows,
        }
    )
    assert "| HTTP, binary | 4 | 5,506 | 0.69 | 0.94 |" in text
    assert "- gRPC, 1 concurrent: no figures, exit code 99: no" in text
    assert "perf_analyzer 2.48.0" in text
