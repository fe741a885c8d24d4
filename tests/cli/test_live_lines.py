"""Lines beside progress bars, on a real terminal."""

import sys
from pathlib import Path

import pytest
from terminal import run_on_terminal, shown

CODE = """
import sys, time, warnings
import click
from edgecnn.cli.output import emit, progress_bar, warn
with progress_bar() as progress:
    for step in range(6):
        progress("training", step, 6, f"epoch {step}, loss 0.123, 4567 images/s")
        time.sleep(0.12)  # the bars are drawn ten times a second
        click.echo(f"echo {step} [bold]" + " word" * 18, err=True)
        warn(f"warning {step}")
        print(f"printed {step}", file=sys.stderr)
        click.echo(f"result {step}")
        if step == 3:
            click.echo("half a line ", nl=False, err=True)
    progress("training", 6, 6)
emit({}, "the end", as_json=False)
"""


@pytest.mark.parametrize("columns", [80, 160])
def test_lines_stay_above_the_bars(columns: int):
    code, lines = run_on_terminal([sys.executable, "-c", CODE], columns)
    assert code == 0, lines
    text = "\n".join(lines)
    for step in range(6):
        assert f"echo {step} [bold]" in text
        assert {f"warning: warning {step}", f"printed {step}", f"result {step}"} <= set(lines)
    assert text.split().count("word") == 6 * 18
    assert "half a line" in text
    assert sum(line.startswith("training") for line in lines) == 1, "the bars are drawn in place"
    assert [line for line in lines if line][-2].startswith("training")
    assert [line for line in lines if line][-1] == "the end"


def test_results_in_a_file_do_not_move_to_the_terminal(tmp_path: Path):
    code, lines = run_on_terminal([sys.executable, "-c", CODE], 80, stdout=tmp_path / "out")
    assert code == 0, lines
    assert (tmp_path / "out").read_text().splitlines() == [*(f"result {step}" for step in range(6)), "the end"]
    assert not any(line.startswith("result") for line in lines)


def test_an_error_appears_below_the_bars():
    code = CODE.replace("if step == 3:\n", 'if step == 3:\n            raise SystemExit("error: stopped")\n')
    exit_code, lines = run_on_terminal([sys.executable, "-c", code], 80)
    assert exit_code == 1
    assert [line for line in lines if line][-1] == "error: stopped"
    assert "printed 3" in lines


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 160])
def test_the_epochs_of_a_training_stay_visible(tmp_path: Path, columns: int):
    words = ["train", "lenet", "--data", "digits", "--epochs", "4", "--out", str(tmp_path / "x")]
    code, lines = run_on_terminal([sys.executable, "-m", "edgecnn", *words], columns)
    assert code == 0, lines
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs] == ["1/4", "2/4", "3/4", "4/4"]
    assert all(line.endswith("%") for line in epochs)
    header = lines[lines.index(epochs[0]) - 1]
    assert header.split() == ["loss", "accuracy", "validation", "time", "waiting", "for", "data"]
    assert any(line.startswith("images of digits: 1271 to train") for line in lines)
    assert any("steps of about" in line for line in lines)
    assert f"{tmp_path / 'x'}: top-1" in " ".join(" ".join(lines).split())


def test_the_terminal_of_these_tests_erases_lines():
    assert shown("one\r\ntwo\x1b[1A\r\x1b[2Knew\r\n\nabcdef", 4) == ["new", "two", "abcd", "ef"]
