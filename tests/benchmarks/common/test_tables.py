"""Tables and numbers of `benchmarks/common/tables.py`."""

import pytest

from benchmarks.common.tables import cell, digits, interval, ratio, table


def test_aligns_number_columns_right():
    rows = [["lenet", "*0.045* (bf16)", "", "≥ 0.75"], ["vgg16", "+1.92 [1.49, 2.37]", "3 s", "—"]]
    header, rule, first, _ = table(["network", "time", "start", "wanted"], rows).splitlines()
    assert header == "| network | time | start | wanted |"
    assert rule == "| --- | ---: | ---: | ---: |"
    assert first == "| lenet | *0.045* (bf16) |  | ≥ 0.75 |"


def test_a_table_without_rows_has_a_header():
    assert table(["a", "b"], []) == "| a | b |\n| --- | --- |"


def test_rejects_rows_of_different_lengths():
    with pytest.raises(ValueError, match="zip"):
        table(["a"], [["1"], ["1", "2"]])


def test_escapes_bars_once():
    assert table(["a"], [["x | y \\| z"]]).splitlines()[2] == "| x \\| y \\| z |"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        ("text", "text"),
        (3, "3"),
        (12.34, "12.3"),
        ({"value": 0.5, "low": 0.4, "high": 1234.5}, "0.50 [0.40, 1,234]"),
    ],
)
def test_writes_each_kind_of_value(value: object, text: str):
    assert cell(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (12.34, "12.3"), (1.234, "1.23"), (-1e-28, "0.00"), (0, "0")]
)
def test_writes_three_significant_digits(value: float, text: str):
    assert digits(value) == text


def test_writes_intervals_and_ratios():
    assert interval(1.5, -1, 2, show="{:+.1f}".format) == "+1.5 [-1.0, +2.0]"
    assert ratio(0.987, 0.9, 12) == "0.99 [0.90, 12.00]"
