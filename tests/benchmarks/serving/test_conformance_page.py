"""The page of `benchmarks/serving/conformance.py` shows only the differences between servers."""

from benchmarks.serving.conformance_page import page


def case(id_: str, outcome: str) -> dict[str, str]:
    texts = {"title": "It <does>", "source": 'A | "B"', "level": "required", "expected": "this", "found": "that"}
    return texts | {"id": id_, "outcome": outcome}


def report(*outcomes: str) -> dict[str, object]:
    total = {
        "level": "required",
        "passed": outcomes.count("pass"),
        "failed": outcomes.count("fail"),
        "not_applicable": 0,
    }
    results = [case(f"case-{number}", outcome) for number, outcome in enumerate(outcomes)]
    return {"server": "a server 1", "extensions": [], "totals": [total], "results": results}


def test_page_shows_totals_and_differences():
    reports = {"one": report("pass", "pass", "fail"), "two": report("pass", "fail", "fail")}
    text = page({"measured_at": "2026-01-01T00:00:00+00:00", "versions": {"one": {"p": "1"}}, "reports": reports})
    assert "| required | 2 / 1 / 0 | 1 / 2 / 0 |" in text
    assert '| `case-1` | required | It &lt;does> | pass | **fail** | A \\| "B" |' in text
    assert "`case-0`" not in text
    assert "| `case-2`" not in text  # both fail: no difference, but listed below
    assert text.count("- `case-2`: expected this; found that") == 2
