"""`edgecnn predict`: a bundle and images in, labels out."""

from pathlib import Path
from typing import Any

import click

from edgecnn.cli.options import json_option, session_options, strict_option
from edgecnn.cli.output import emit
from edgecnn.errors import EdgecnnError, ImageError


@click.command()
@click.argument("bundle", metavar="BUNDLE|FOLDER", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many labels to list.")
@session_options
@strict_option
@json_option
def predict(bundle: Path, images: tuple[Path, ...], top: int, strict: bool, as_json: bool, **session: Any) -> None:
    """Classify image files (JPEG, PNG, BMP) with BUNDLE; of a FOLDER of bundles with the one that `tune` has chosen.

    An image that cannot be read gets a line on stderr, and the others are still answered; the exit code is then 1.
    """
    from edgecnn.runtime.classifier import load

    answers: list[dict[str, Any]] = []
    broken = 0
    with load(bundle, strict=strict, **session) as classifier:
        for image, prediction in zip(images, classifier.predictions(images, top=top), strict=True):
            if isinstance(prediction, ImageError):
                broken += 1
                click.echo(f"error: {prediction}", err=True)
                continue
            ranked = [{"label": label, "probability": probability} for label, probability in prediction.top]
            answers.append(
                {"image": str(image), "label": prediction.label, "index": prediction.index} | {"top": ranked}
            )
        result = {"bundle": str(classifier.bundle.path), "session": vars(classifier.info), "predictions": answers}
    if answers or as_json:
        emit(result, "\n".join(map(_line, answers)), as_json=as_json)
    if broken:
        raise EdgecnnError(f"{broken} of {len(images)} images could not be read")


def _line(answer: dict[str, Any]) -> str:
    others = ", ".join(f"{entry['label']} {entry['probability']:.1%}" for entry in answer["top"])
    return f"{answer['image']}: {others}"
