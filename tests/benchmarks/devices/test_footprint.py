"""The page of `benchmarks/devices/footprint.py`."""

from benchmarks.devices.footprint import FIRST, page


def test_page_shows_figures_with_their_limits():
    text = page(
        {
            "measured_at": "2026-01-01T00:00:00+00:00",
            "site": {"processor": "a processor", "cores": 2, "engines": {}},
            "versions": {"python": "3.11.7"},
            "packages_mib": {"numpy": 27.3, "onnxruntime": 72.1},
            "total_mib": 99.4,
            "bytecode_mib": 29.2,
            "seconds": {FIRST: {"median": 0.249, "lowest": 0.228, "highest": 0.428, "runs": 15}},
            "peak_rss_mib_first_prediction": 68.8,
            "served_mb": 105.7,
            "help_over_bare_python_s": 0.088,
        }
    )
    assert "| packages, MiB | 99.4 | 200 |" in text
    assert f"| {FIRST} | 0.249 [0.228, 0.428] | 15 |" in text
    assert "| onnxruntime | 72.1 |" in text
    assert "a processor, 2 cores; python 3.11.7" in text
