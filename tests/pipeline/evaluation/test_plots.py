"""The plots of `evaluate` and `benchmark`."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from edgecnn.bundle.manifest import Scores
from edgecnn.pipeline.evaluation import plot, speed_plot
from edgecnn.pipeline.evaluation.label_metrics import measure_labels
from edgecnn.pipeline.evaluation.metrics import measure
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import Site
from edgecnn.tuning.measuring.benchmark import Benchmark, Measured
from edgecnn.tuning.measuring.estimates import Speed

SCRIPTS = ("猫", "कुत्ता", "<b>ship</b>", "$x$", "🐱", "y" * 300)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Collect the figures that are drawn."""
    drawn: list[Figure] = []
    for module in (plot, speed_plot):
        real = module.rendered
        monkeypatch.setattr(
            module, "rendered", lambda figure, suffix, real=real: drawn.append(figure) or real(figure, suffix)
        )
    return drawn


def benchmark(times: list[float], *, cores: int = 2, engine: str = "onnxruntime") -> Benchmark:
    def measured(index: int, ms: float) -> Measured:
        time, speed = (Estimate(value, 0.9 * value, 1.1 * value) for value in (ms, 1000 / ms))
        precision = ("fp32", "int8")[index % 2]
        found = Speed(time, time, time, speed, 10, (ms, ms))
        return Measured(f"net-{precision}", "d", precision, Setting(engine), "1", 1, True, 0.1, 1000, found, None, ())

    results = tuple(measured(index, ms) for index, ms in enumerate(times))
    return Benchmark(Site("CPU", (), None, cores, {"onnxruntime": "1.32"}), "now", (1.0, 1.0), {}, results, ())


@pytest.mark.parametrize(("cores", "text"), [(1, "CPU, 1 core; "), (2, "CPU, 2 cores; ")])
def test_the_cores_are_counted(figures: list[Figure], cores: int, text: str):
    speed_plot.draw(benchmark([1.0, 2.0], cores=cores), ".png")
    assert figures[0].get_suptitle().startswith(text)


@pytest.mark.parametrize(("times", "scale"), [([1.0, 4.0], "linear"), ([0.03, 4.0, 120.0], "log")])
def test_bars_over_a_decade_are_logarithmic(figures: list[Figure], times: list[float], scale: str):
    speed_plot.draw(benchmark(times), ".png")
    assert {axes.get_xscale() for axes in figures[0].axes} == {scale}


def test_the_legend_is_beside_the_bars(figures: list[Figure]):
    speed_plot.draw(benchmark([1.0, 2.0]), ".png")
    (legend,) = figures[0].legends
    assert {text.get_text() for text in legend.get_texts()} == {"FP32", "INT8"}
    edges = [axes.get_window_extent().x1 for axes in figures[0].axes]
    assert legend.get_window_extent().x0 >= max(edges)


def test_one_result_and_pytorch_have_a_plot(figures: list[Figure]):
    assert speed_plot.draw(benchmark([1.0], engine="pytorch"), ".svg").startswith(b"<?xml")
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["PyTorch"]


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_classes_of_every_script_have_a_plot(figures: list[Figure], suffix: str):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, len(SCRIPTS))).astype(np.float32)
    metrics = measure(logits, rng.integers(0, len(SCRIPTS), 60), SCRIPTS)
    assert plot.draw(metrics, "bundle on 猫\u0c85", suffix)
    labels = [text.get_text() for text in figures[0].axes[0].get_yticklabels()]
    assert labels[2:4] == ["<b>ship</b>", "$x$"]
    assert len(labels[5]) < 30


def test_legends_cover_no_bars(figures: list[Figure]):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 3)).astype(np.float32)
    scores = Scores("sigmoid", multi_label=True)
    targets = rng.integers(0, 2, (60, 3))
    plot.draw(measure_labels(logits, targets, ("a", "b", "c"), scores), "bundle", ".png")
    for axes in figures[0].axes:
        assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1


def test_a_thousand_classes_have_no_names(figures: list[Figure]):
    names = tuple(f"class {number}" for number in range(1000))
    rng = np.random.default_rng(0)
    metrics = measure(rng.normal(size=(100, 1000)).astype(np.float32), rng.integers(0, 1000, 100), names)
    plot.draw(metrics, "bundle", ".png")
    assert not any(text.get_text().startswith("class") for text in figures[0].axes[0].get_yticklabels())
