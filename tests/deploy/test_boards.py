"""The boards' environment files: each is understood by the server, through the very line of the unit."""

import re
from pathlib import Path

import pytest
from deployment import BOARDS, environment, serve_options, unit_command

BY_NAME = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)


def test_there_is_a_file_for_each_board():
    assert {board.stem for board in BOARDS} == {
        "generic-x86",
        "intel-n100-gpu",
        "intel-n100-npu",
        "jetson-orin",
        "raspberry-pi-4",
        "raspberry-pi-5",
    }


@BY_NAME
def test_a_board_is_one_line_of_arguments_that_no_shell_or_service_manager_reads_otherwise(board: Path):
    assert list(environment(board)) == ["EDGECNN_ARGS"]
    assert re.fullmatch(r"[a-z0-9 -]+", environment(board)["EDGECNN_ARGS"])


@BY_NAME
def test_the_server_takes_a_boards_arguments_in_the_units_command(board: Path, tmp_path: Path):
    options = serve_options(unit_command(board, credentials=tmp_path))
    assert options.api_key_file == tmp_path / "api-key"
    assert (options.host, options.port) == ("0.0.0.0", 8080)
    engine = "openvino" if "intel" in board.stem else "auto" if "generic" in board.stem else "onnxruntime"
    device = next((name for name in ("gpu", "npu") if board.stem.endswith(name)), "cpu")
    assert (options.backend, options.device) == (engine, "cuda" if "jetson" in board.stem else device)


@BY_NAME
def test_a_board_says_why_each_of_its_options_is_as_it_is_and_whether_it_was_tried(board: Path):
    text = board.read_text()
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert re.search(r"[Nn]ot tried on (the|a) real board|Tried on", comments)
    for option, value in re.findall(r"--([a-z-]+)(?: ([a-z0-9]+))?", environment(board)["EDGECNN_ARGS"]):
        told = f"{option} {value}" if value.isdigit() else value or option
        assert told in comments or (option, value) == ("device", "cpu"), f"{told} is not explained"
