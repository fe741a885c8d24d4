"""The options of the proof, which `export` and `import` share."""

from typing import TYPE_CHECKING

import click

from edgecnn.cli.options import PATH, Command

if TYPE_CHECKING:
    from edgecnn.bundle.proof import PreprocessingCheck


def checks_options(command: Command) -> Command:
    """Add the options that check a stated preprocessing."""
    command = click.option(
        "--preprocess",
        metavar="MODULE:FUNCTION",
        help="Compare with your own preprocessing: package.module:FUNCTION or file.py:FUNCTION takes the path of an "
        "image and returns the network's input.",
    )(command)
    return click.option(
        "--expect",
        type=PATH,
        metavar="CSV|NPZ",
        help="Compare with your own answers to your own images: paths, and labels, logits or probabilities.",
    )(command)


unsure_option = click.option(
    "--unsure-margin",
    type=click.FloatRange(min=0),
    help="Margin in logits below which an answer is unsure; 0 for none. [default: chosen from labelled images]",
)


def checked_text(how: "PreprocessingCheck | None", images: int | None) -> list[str]:
    """Return how the preprocessing was checked, as one line of text; empty if a proof does not say it.

    `images` is the number of answers or image files that were compared.
    """
    if how is None:
        return []
    return [
        {
            "trained": "preprocessing of the training",
            "stated": "preprocessing as stated (not checked: --expect or --preprocess)",
            "answers": f"preprocessing checked against {images} answers of the user",
            "function": f"preprocessing checked against the user's code, on {images} image files",
        }[how]
    ]
