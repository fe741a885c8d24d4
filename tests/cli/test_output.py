"""Tests of tables, numbers and the width of text."""

import pytest
from rich.cells import cell_len

from edgecnn.cli.output import columns, emit, number
from edgecnn.cli.verify import _flip
from edgecnn.runtime.verification.agreement import Flip

NAME = "a-bundle-with-a-long-name-that-its-author-chose-with-care-int8"
ROWS = [
    ("bundle", "setting", "p50 ms", "images/s", "memory", ""),
    (NAME, "onnxruntime, 2 threads, 2 instances, batch 8", "0.0313 [0.0311, 0.248]", "8,300", "111 MiB", "not steady"),
    ("digits", "pytorch, 2 threads", "0.176 [0.168, 56.5]", "73.1", "688 MiB", ""),
]


@pytest.fixture(params=[80, 100, 132, 200])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def test_tables_fit_the_terminal(width: int):
    lines = columns(ROWS, right=(2, 3, 4), optional=(4, 3)).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert ("memory" in lines[0]) == (width == 200)
    assert (lines[-1] == "(a wider terminal and --json also show images/s, memory)") == (width < 200)


def test_pipes_get_the_whole_table(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    text = columns(ROWS, right=(2, 3, 4), optional=(4, 3))
    assert all(cell in text for row in ROWS for cell in row)


def test_long_names_keep_both_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    line = columns(ROWS, right=(2, 3, 4), optional=(4, 3)).splitlines()[1]
    assert line.startswith("a-bundle-")
    assert "…" in line.split("  ")[0]
    assert line.split("  ")[0].endswith("-int8")


@pytest.mark.parametrize("label", ["猫" * 60, "👩‍🚀" * 30, "é" * 100, "long words " * 12], ids=range(4))
def test_labels_of_every_script_fit(label: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    flip = Flip(f"test/{label}/0001.png", 7, label, label, label, reference_margin=0.1, margin=0.2)
    text = columns([_flip(flip), _flip(flip)], margin=6)
    assert max(map(cell_len, text.splitlines())) <= 74


def test_the_last_text_continues_below(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    reason = "not tried, because the engine crashed on this bundle before and may hang for minutes"
    first, second, last = columns([("digits", reason), ("letters", "")]).splitlines()
    assert first.startswith("digits   not tried, because")
    assert second[:10].strip() == second[9]
    assert " ".join(f"{first[9:]} {second[9:]}".split()) == reason
    assert last == "letters"


def test_empty_columns_are_left_out():
    assert columns([("a", "", "b"), ("c", "", "d")]) == "a  b\nc  d"


def test_sentences_continue_with_an_indent(capsys: pytest.CaptureFixture, width: int):
    emit({}, f"short\n  - {'many words ' * 30}", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert [line[:6] for line in lines[:3]] == ["short", "  - ma", "    " + lines[2][4:6]]


def test_control_characters_are_harmless(capsys: pytest.CaptureFixture):
    emit({}, "c\x1b[31mat\n" + columns([("a\nb\x7f", "c")]), as_json=False)
    assert capsys.readouterr().out == "c�[31mat\na�b�  c\n"
    emit({"label": "c\x1b[31mat\x9b2J\x7f"}, "", as_json=True)
    out = capsys.readouterr().out
    assert "\\u001b[31mat\\u009b2J\\u007f" in out
    assert out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4130, "4,130"),
        (4134.6, "4,130"),
        (16_250, "16,200"),
        (9.999, "10.0"),
        (999.6, "1,000"),
        (1.5, "1.50"),
        (0.03131, "0.0313"),
        (0.000123, "0.000123"),
        (2.14e-8, "2.14e-08"),
        (-3.14159, "-3.14"),
        (0, "0"),
        (None, "not finite"),
        (float("nan"), "not finite"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str):
    assert number(value) == text
