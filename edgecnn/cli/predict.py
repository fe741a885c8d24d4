"""`edgecnn predict`: classify images with a bundle or a server."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from edgecnn.cli.options import PATH, POSITIVE, json_option, session_options, strict_option
from edgecnn.cli.output import emit, printable
from edgecnn.client.options import TIMEOUT_S
from edgecnn.errors import EdgecnnError, ImageError, UsageError
from edgecnn.runtime.rates import percent

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import Scores
    from edgecnn.prediction import Prediction

_OF_A_SERVER = ("model", "api_key_file", "ca", "timeout_s")
_OF_A_SESSION = ("engine", "device", "precision", "threads", "strict")


@click.command()
@click.argument("paths", metavar="[BUNDLE|FOLDER] IMAGE...", nargs=-1, type=PATH)
@click.option("--top", type=POSITIVE, default=5, show_default=True, help="How many labels to list.")
@session_options
@strict_option
@click.option("--url", "urls", multiple=True, help="Use this server, such as http://127.0.0.1:8080; repeatable.")
@click.option("--model", help="Model on the server. [default: the only ready model]")
@click.option("--api-key-file", type=PATH, help="File with the server's API key.")
@click.option("--ca", type=PATH, help="PEM file with CA certificates to verify the server.")
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT_S,
    show_default=True,
    help="Timeout of a request in seconds, including retries.",
)
@json_option
@click.pass_context
def predict(
    context: click.Context,
    /,
    paths: tuple[Path, ...],
    top: int,
    strict: bool,
    urls: tuple[str, ...],
    model: str | None,
    api_key_file: Path | None,
    ca: Path | None,
    timeout_s: float,
    as_json: bool,
    **session: Any,
) -> None:
    """Classify image files with BUNDLE, or with the bundle in FOLDER that `tune` has chosen.

    With --url, every argument is an IMAGE, and a server classifies it. Several servers are used in turns, and a failed
    server is skipped. Use --model, --api-key-file, --ca and --timeout-s with --url; engine options are not allowed.

    For a network with several labels per image, the labels whose probability reaches the threshold come first, then the
    most probable others. An answer is unsure if its margin is below the one that was sealed in the bundle at export.

    With a cascade, each line ends with the graph that gave the answer, and the last line is the share of the images
    that its accurate graph ran too.

    An image that cannot be read is reported on stderr. The other images are still classified, and the exit code is 1.
    """
    _check_options(context, asks_a_server=bool(urls))
    _check_paths(paths, asks_a_server=bool(urls))
    if urls:
        result, lines = _asked(paths, top, urls, model, key_file=api_key_file, ca=ca, timeout_s=timeout_s)
    else:
        result, lines = _computed(paths, top, strict=strict, **session)
    if lines or as_json:
        emit(result, "\n".join([*lines, *_share_again(result["predictions"])]), as_json=as_json)
    images = len(paths) if urls else len(paths) - 1
    if len(lines) < images:
        raise EdgecnnError(f"cannot read {images - len(lines)} of {images} images: see the errors above")


def _check_options(context: click.Context, *, asks_a_server: bool) -> None:
    """Check that the options fit together.

    Raises:
        UsageError: an engine option is used with --url, or a server option without it.
    """
    for name in _OF_A_SESSION if asks_a_server else _OF_A_SERVER:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(
                f"{option} cannot be used with --url, because the server selects the engine: remove one of them"
                if asks_a_server
                else f"{option} requires --url, which is missing: add the URL of a server",
                context,
            )


def _check_paths(paths: tuple[Path, ...], *, asks_a_server: bool) -> None:
    """Check that the arguments include an image.

    Raises:
        UsageError: an image is missing, or a folder is used with --url.
    """
    if asks_a_server and not paths:
        raise UsageError("expected at least one image, found none: edgecnn predict --url URL IMAGE...")
    if not asks_a_server and paths and str(paths[0]).startswith(("http:/", "https:/")):
        raise UsageError(f"expected a bundle, found the URL {paths[0]}: use --url URL IMAGE... for a server")
    if not asks_a_server and len(paths) < 2:
        found = f"only {paths[0]}" if paths else "nothing"
        raise UsageError(f"expected BUNDLE IMAGE..., or --url URL IMAGE..., found {found}")
    folder = next((path for path in paths if path.is_dir()), None) if asks_a_server else None
    if folder is not None:
        raise UsageError(
            f"expected image files with --url, found the folder {folder}: remove it, the server has its own bundles"
        )


def _computed(paths: tuple[Path, ...], top: int, *, strict: bool, **session: Any) -> tuple[dict[str, Any], list[str]]:
    """Classify images on this machine. Return the result, and a line of text for each readable image."""
    bundle, images = paths[0], paths[1:]
    from edgecnn.runtime.classifier import load

    with load(bundle, strict=strict, **session) as classifier:
        scores = classifier.bundle.manifest.scores
        answers, lines = _answers(images, ((each, {}, scores) for each in classifier.predictions(images, top=top)))
        result = {"bundle": str(classifier.bundle.path), "session": vars(classifier.info), "predictions": answers}
    return result, lines


def _asked(
    images: tuple[Path, ...],
    top: int,
    urls: tuple[str, ...],
    model: str | None,
    *,
    key_file: Path | None,
    ca: Path | None,
    timeout_s: float,
) -> tuple[dict[str, Any], list[str]]:
    """Classify images on servers. Return the result, and a line of text for each readable image."""
    from edgecnn.client.client import Client
    from edgecnn.protocol.api_key import read_api_key

    key = None if key_file is None else read_api_key(key_file, shortest=1).decode()
    with Client(urls, model=model, api_key=key, ca=ca, timeout_s=timeout_s) as client:
        found = client.answers(images, top=top)
        answers, lines = _answers(
            images, ((each.prediction, {"url": each.url, "digest": each.digest}, each.scores) for each in found)
        )
        result = {"urls": list(urls), "model": client.model, "predictions": answers}
    return result, lines


def _answers(
    images: tuple[Path, ...], found: "Iterable[tuple[Prediction | ImageError, dict[str, str], Scores]]"
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the result and the line of each classified image, and print an error for each unreadable one."""
    answers, lines = [], []
    for image, (prediction, source, scores) in zip(images, found, strict=True):
        if isinstance(prediction, ImageError):
            click.echo(f"error: {printable(str(prediction))}", err=True)
            continue
        ranked = [{"label": label, "probability": probability} for label, probability in prediction.top]
        answer = {"image": str(image), "label": prediction.label, "index": prediction.index, "top": ranked}
        stage = {} if prediction.stage is None else {"stage": prediction.stage}
        answers.append(answer | {"labels": list(prediction.labels), "unsure": prediction.unsure} | stage | source)
        text = _several(prediction) if scores.multi_label else _listed(prediction.top)
        end = "" if prediction.stage is None else f" ({prediction.stage})"
        lines.append(printable(f"{image}: {'unsure: ' if prediction.unsure else ''}{text}{end}"))
    return answers, lines


def _share_again(answers: list[dict[str, Any]]) -> list[str]:
    """Return a line with the share of several images that the accurate graph of a cascade ran too, if there is one."""
    stages = Counter(answer["stage"] for answer in answers if "stage" in answer)
    if stages.total() < 2:
        return []
    share = percent(stages["accurate"] / stages.total())
    return [f"run again by the accurate graph: {stages['accurate']} of {stages.total()} images ({share})"]


def _listed(ranked: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{label} {probability:.1%}" for label, probability in ranked)


def _several(prediction: "Prediction") -> str:
    """Return the labels of an image, and the most probable labels that it does not have."""
    count, shown = len(prediction.labels), len(prediction.top)
    own = _listed(prediction.top[:count]) or "no label"
    more = f" and {count - shown} more" if count > shown else ""
    others = f"; below the threshold: {_listed(prediction.top[count:])}" if count < shown else ""
    return f"{own}{more}{others}"
