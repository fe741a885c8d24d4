"""Counters that add up, and time series that clients cannot create."""

from prometheus_client.parser import text_string_to_metric_families
from server_process import Server

from edgecnn import __version__
from edgecnn.protocol.refusal import STATUS
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.statistics import Statistics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
    }


def test_received_equals_the_sum_of_outcomes():
    metrics = Metrics()
    model = metrics.of("lenet")
    for _ in range(5):
        model.received()
    model.succeeded(preprocess_s=0.1, queued_s=0.2, inference_s=0.3)
    model.failed("late")
    model.failed("invalid")
    model.cancelled()
    found = samples(metrics)
    label = (("model", "lenet"),)
    assert found["edgecnn_requests_received_total", label] == 5
    assert found["edgecnn_requests_succeeded_total", label] == 1
    failed = [value for (name, _), value in found.items() if name == "edgecnn_requests_failed_total"]
    assert len(failed) == len(STATUS)
    assert sum(failed) == 2
    assert found["edgecnn_requests_cancelled_total", label] == 1
    assert found["edgecnn_requests_in_flight", label] == 1
    assert found["edgecnn_queue_seconds_sum", label] == 0.2


def test_counts_runs_by_batch_size():
    metrics = Metrics()
    metrics.of("lenet").ran(3)
    assert samples(metrics)["edgecnn_batch_images_bucket", (("le", "4.0"), ("model", "lenet"))] == 1


def test_counts_errors_without_a_model_by_status():
    metrics = Metrics()
    metrics.refused(404)
    metrics.refused(404)
    assert samples(metrics)["edgecnn_http_refused_total", (("status", "404"),)] == 2


def test_statistics_use_triton_names_and_nanoseconds():
    statistics = Statistics()
    statistics.ran(2, 0.003)
    statistics.succeeded(2, preprocess_s=0.001, queued_s=0.002, inference_s=0.003)
    plain = statistics.plain("lenet", "1")
    assert plain["inference_count"] == 2
    assert plain["execution_count"] == 1
    assert plain["inference_stats"]["success"] == {"count": 1, "ns": 6_000_000}
    assert plain["inference_stats"]["queue"] == {"count": 1, "ns": 2_000_000}
    assert plain["batch_stats"][0]["batch_size"] == 2
    assert plain["batch_stats"][0]["compute_infer"] == {"count": 1, "ns": 3_000_000}
    for counted in (plain["inference_stats"], plain["batch_stats"][0]):  # perf_analyzer exits if these three differ
        assert {counted[f"compute_{what}"]["count"] for what in ("input", "infer", "output")} == {1}


def test_describes_the_software_the_process_and_the_served_bundle(server: Server):
    found = {sample.name: sample for sample in server.samples()}
    bundle = server.bundle
    assert found["edgecnn_build_info"].labels["version"] == __version__
    assert found["edgecnn_build_info"].labels["python"].startswith("3.")
    info = found["edgecnn_model_info"]
    expected = {
        "model": server.name,
        "version": "1",
        "digest": bundle.digest[:12],
        "precision": "int8",
        "device": "cpu",
    }
    assert (info.value, info.labels | expected) == (1, info.labels)
    assert info.labels["engine"].split()[0] in {"onnxruntime", "openvino"}
    assert found["process_resident_memory_bytes"].value > 1 << 20


def test_counts_predictions_and_confidences(server: Server):
    def counted() -> dict[str, float]:
        return {s.labels["class"]: s.value for s in server.samples() if s.name == "edgecnn_predictions_total"}

    before = counted()
    assert list(before) == list(server.bundle.manifest.labels)
    images = server.bundle.self_test().images[:32]
    best = server.logits(images).argmax(axis=1)
    for index, label in enumerate(server.bundle.manifest.labels):
        assert counted()[label] - before[label] == (best == index).sum()
    totals = {s.name: s.value for s in server.samples() if s.name.startswith("edgecnn_confidence_")}
    assert totals["edgecnn_confidence_count"] == sum(counted().values())
    assert 0 < totals["edgecnn_confidence_sum"] <= totals["edgecnn_confidence_count"]
