"""The header that says which graph of a cascade answered each image."""

from collections.abc import Sequence

from edgecnn.prediction import Stage

_STAGES: tuple[Stage, Stage] = ("fast", "accurate")


def stages_text(runs_again: Sequence[bool]) -> str:
    """Return the value of the header for images that the accurate graph answered or not.

    It has one word for each image, or one word if the same graph answered all images.
    """
    if len(set(runs_again)) == 1:
        return _STAGES[runs_again[0]]
    return ",".join([_STAGES[each] for each in runs_again])


def parse_stages(text: str, count: int) -> tuple[Stage, ...]:
    """Return the stage of each of `count` images from the value of the header.

    Raises:
        ValueError: the value is malformed.
    """
    named: dict[str, Stage] = {each: each for each in _STAGES}
    found = [named.get(word.strip()) for word in text.split(",")]
    stages = tuple(each for each in found if each is not None)
    if len(stages) != len(found) or len(stages) not in (1, count):
        raise ValueError(f"expected fast or accurate for each of {count} images, found {text!r:.60}")
    return stages * count if len(stages) == 1 else stages
