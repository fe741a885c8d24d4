"""The page of `benchmarks/serving/compare.py`: failed claims and losses are shown."""

import pytest

from benchmarks.serving.page import (
    ENGINE,
    MLSERVER,
    OURS,
    OURS_JPEG,
    OURS_JSON,
    REFERENCE,
    Load,
    claim,
    lenet_claims,
    median,
    over,
    page,
    resnet_claims,
    row,
)
from edgecnn.tuning.measuring.turn import Turn


def load(requests: int, *, p99_ms: float = 4.0, refused: int = 0) -> Load:
    return Load(requests, seconds=2.0, p50_ms=1.0, p99_ms=p99_ms, refused=refused, broken=0)


def turns(*images: int) -> list[Turn]:
    return [Turn((1.0,), each, 2.0) for each in images]


def part(**more: object) -> dict[str, object]:
    site = {"processor": "a processor", "cores": 2}
    where = {"site": site, "measured_at": "2026-01-01T00:00:00+00:00", "versions": {"numpy": "2.0"}}
    return where | {"rounds": 2, "seconds": 4.0, "rows": [], "claims": []} | more


def test_rejections_are_not_results():
    assert load(100, refused=40).per_s == pytest.approx(30)


def test_row_combines_all_turns():
    found = row(OURS, turns(200, 300), loads=[load(200), load(310, refused=10)], seen={"idle_mb": 100.0})
    assert found["per_s"]["value"] == pytest.approx(125)
    assert found["errors"] == 10
    assert found["idle_mb"] == 100.0
    assert found["turns_per_s"] == [100, 150]


def test_ratio_compares_equal_rounds():
    assert over(turns(50, 500), turns(100, 1000))["value"] == pytest.approx(0.5)


def test_ratio_of_a_server_without_answers_is_zero():
    assert over(turns(0, 0), turns(100, 100))["value"] == 0


@pytest.mark.parametrize(
    ("values", "least", "holds"), [([0.8, 0.9], 0.75, True), ([0.5, 0.6], 0.75, False), ([0.7, 0.8], 0.75, None)]
)
def test_lower_claim_needs_its_whole_interval(values, least, holds):
    assert claim("it", median(values), least=least)["holds"] is holds


@pytest.mark.parametrize(("values", "holds"), [([1.0, 1.5], True), ([3.0, 4.0], False), ([1.0, 4.0], None)])
def test_upper_claim_needs_its_whole_interval(values, holds):
    assert claim("it", median(values), most=2.0)["holds"] is holds


def test_lenet_claims_compare_with_other_servers():
    taken = {
        OURS: turns(80, 80),
        REFERENCE: turns(100, 100),
        OURS_JSON: turns(30, 30),
        MLSERVER: turns(10, 10),
    }
    loads = {OURS: [load(80, p99_ms=9.0)] * 2, REFERENCE: [load(100, p99_ms=3.0)] * 2}
    found = lenet_claims(taken, loads)
    assert [each["figure"]["value"] for each in found] == pytest.approx([0.8, 3.0, 3.0])
    assert [each["holds"] for each in found] == [True, False, False]


def test_makes_no_claim_about_what_did_not_run():
    assert lenet_claims({OURS: turns(1)}, {}) == []
    assert resnet_claims("resnet18", {OURS: turns(1)}) == []


def test_resnet_claims_compare_with_the_engine():
    found = resnet_claims("resnet18", {OURS: turns(97, 97), OURS_JPEG: turns(80, 80), ENGINE: turns(100, 100)})
    assert [each["holds"] for each in found] == [True, False]


def test_page_lists_losses_and_failures():
    ours, engine = turns(40, 40), turns(100, 100)
    rows = [row(OURS, ours, loads=[load(40), load(40)], seen={}), row(ENGINE, engine, loads=[], seen={})]
    setting = {"engine": "openvino", "threads": 2, "instances": 1, "batch": 4}
    claims = resnet_claims("resnet50", {OURS: ours, ENGINE: engine})
    failed = {"LitServe, JPEG": "it\nended"}
    text = page({"resnet50": part(rows=rows, claims=claims, failed=failed, setting=setting)})
    assert (
        "| resnet50 INT8: edgecnn, binary / the engine alone, images/s | 0.40 [0.40, 0.40] | ≥ 0.95 | **no** |" in text
    )
    assert "| the engine alone | 50.0 [50.0, 50.0] | — | — | — | — | — | — | — |" in text
    assert "LitServe, JPEG does not run: it ended" in text
    assert "openvino, threads 2, instances 1, batch up to 4" in text


def test_table_rows_have_equally_many_cells():
    idle = {"name": "edgecnn", "ready_s": median([1.0]), "resident_mb": median([140.0]), "shared_mb": median([90.0])}
    overload = {"name": "10 × the peak", "over_peak": median([0.95]), "broken": 0, "unsent": 3}
    text = page(
        {"overload": part(rows=[overload]), "idle": part(rows=[idle], claims=[claim("a", median([1.0]), most=2)])}
    )
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1
