"""The Pareto front, and the tables of a comparison of networks."""

import csv
import io

import pytest
from reported import networks_content

from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.reporting.networks import NetworksContent, pareto_front
from edgecnn.pipeline.reporting.networks_table import as_csv, as_markdown


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1, 0.5)], [True]),
        ([(1, 0.5), (2, 0.9), (3, 0.8)], [True, True, False]),
        ([(1, 0.5), (1, 0.6), (2, 0.6)], [False, True, False]),
        ([(1, 0.5), (1, 0.5)], [True, True]),
    ],
)
def test_finds_the_pareto_front(points: list[tuple[float, float]], front: list[bool]):
    assert pareto_front(points) == front


@pytest.fixture
def content(committed: Bundle) -> NetworksContent:
    return networks_content(committed, names=("lenet", "a|b"))


def test_orders_candidates_by_latency(content: NetworksContent):
    times = [each.p50_ms.value for each in content.candidates]
    assert times == sorted(times)
    assert len(times) == 8
    assert content.engines == ("onnxruntime", "openvino")


def test_csv_has_a_row_for_each_bundle_and_engine(content: NetworksContent):
    rows = list(csv.DictReader(io.StringIO(as_csv(content))))
    assert [(row["network"], row["precision"], row["engine"]) for row in rows[:3]] == [
        ("lenet", "fp32", "onnxruntime"),
        ("lenet", "fp32", "openvino"),
        ("lenet", "int8", "onnxruntime"),
    ]
    assert float(rows[0]["top1_low"]) < float(rows[0]["top1"]) < float(rows[0]["top1_high"])
    assert [row["on_pareto_front"] for row in rows].count("True") == sum(each.on_front for each in content.candidates)


def test_markdown_has_a_row_for_each_bundle(content: NetworksContent):
    lines = as_markdown(content).splitlines()
    assert len(lines) == 2 + 4
    assert lines[0].startswith("| network | precision | top-1 |")
    assert lines[4].startswith("| a\\|b | FP32 |")
    assert "**0.100" in lines[2]
