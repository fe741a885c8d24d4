"""The environment files of the boards, parsed through the ExecStart line of the unit."""

import re
from pathlib import Path

import pytest
from deployment import BOARDS, environment, serve_options, unit_command

BY_NAME = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)


def test_each_board_has_a_file():
    assert {board.stem for board in BOARDS} == {
        "generic-x86",
        "intel-n100-gpu",
        "intel-n100-npu",
        "jetson-orin",
        "raspberry-pi-4",
        "raspberry-pi-5",
    }


@BY_NAME
def test_arguments_are_one_line_without_quoting(board: Path):
    assert list(environment(board)) == ["EDGECNN_ARGS"]
    assert re.fullmatch(r"[a-z0-9 -]+", environment(board)["EDGECNN_ARGS"])


@BY_NAME
def test_server_accepts_the_arguments_of_a_board(board: Path, tmp_path: Path):
    options = serve_options(unit_command(board, credentials=tmp_path))
    assert options.api_key_file == tmp_path / "api-key"
    assert (options.host, options.port) == ("0.0.0.0", 8080)
    engine = "openvino" if "intel" in board.stem else "auto" if "generic" in board.stem else "onnxruntime"
    device = next((name for name in ("gpu", "npu") if board.stem.endswith(name)), "cpu")
    assert (options.engine, options.device) == (engine, "cuda" if "jetson" in board.stem else device)


@BY_NAME
def test_comments_explain_each_option(board: Path):
    text = board.read_text()
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert re.search(r"[Nn]ot tested on (the|a) real board|Tested on", comments)
    for option, value in re.findall(r"--([a-z-]+)(?: ([a-z0-9]+))?", environment(board)["EDGECNN_ARGS"]):
        name = f"{option} {value}" if value.isdigit() else value or option
        assert name in comments or (option, value) == ("device", "cpu"), f"{name} is not explained"
