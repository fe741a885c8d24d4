"""The header that names the stage of each image."""

import pytest

from edgecnn.protocol.stages import parse_stages, stages_text


@pytest.mark.parametrize(
    ("runs_again", "text"),
    [
        ([False], "fast"),
        ([True], "accurate"),
        ([True] * 3, "accurate"),
        ([False, True, False], "fast,accurate,fast"),
    ],
)
def test_reads_what_it_writes(runs_again: list[bool], text: str):
    assert stages_text(runs_again) == text
    expected = tuple("accurate" if each else "fast" for each in runs_again)
    assert parse_stages(text, len(runs_again)) == expected


@pytest.mark.parametrize("text", ["", "slow", "fast,", "fast,accurate", "fast,fast,fast,fast", "Fast"])
def test_refuses_a_malformed_value(text: str):
    with pytest.raises(ValueError, match="expected fast or accurate for each of 3 images, found"):
        parse_stages(text, 3)
