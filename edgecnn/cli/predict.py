"""`edgecnn predict`: classify images with a bundle or a server."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edgecnn.bundle.finding import is_bundle
from edgecnn.cli.options import PATH, POSITIVE, file_option, json_option, session_options, strict_option
from edgecnn.cli.output import progress_bar
from edgecnn.cli.predict_images import chosen_images
from edgecnn.cli.predict_output import Answer, PredictOutput
from edgecnn.client.options import TIMEOUT_S
from edgecnn.errors import EdgecnnError, UsageError

_LONG = 100  # images that take long enough for a progress bar
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
@click.option("--skip-bad", is_flag=True, help="Exit with 0 although images cannot be read.")
@file_option("--csv", "FILE.csv", help="Write the answers to a CSV file.")
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
    skip_bad: bool,
    csv: Path | None,
    as_json: bool,
    **session: Any,
) -> None:
    """Classify images with BUNDLE, or with the bundle in FOLDER that `tune` has chosen.

    IMAGE is a file, a folder, which is read with its subfolders, a quoted glob pattern, or `-` for a list of files on
    stdin, one per line. Files in a folder that are not images are left out. For many images, use `edgecnn batch`.

    With --url, every argument is an IMAGE, and a server classifies it. Several servers are used in turns, and a failed
    server is skipped. Use --model, --api-key-file, --ca and --timeout-s with --url; engine options are not allowed.

    A terminal shows several images as a table. --json writes one JSON object per line, --csv a table to a file.

    For a network with several labels per image, the labels whose probability reaches the threshold come first, then the
    most probable others. An answer is unsure if its margin is below the one that was sealed in the bundle at export.
    With a cascade, each line ends with the graph that gave the answer, and the last line is the share of the images
    that its accurate graph ran too.

    An image that cannot be read is reported on stderr. The other images are still classified, and the exit code is 1,
    or 0 with --skip-bad.
    """
    _check_options(context, asks_a_server=bool(urls))
    _check_paths(paths, asks_a_server=bool(urls))
    images = chosen_images(paths if urls else paths[1:])
    files = [each.path for each in images]
    output = PredictOutput(len(images), csv=csv, as_json=as_json)
    with progress_bar(hidden=len(images) < _LONG) as progress:
        if urls:
            answers = _asked(files, top, urls, model=model, key_file=api_key_file, ca=ca, timeout_s=timeout_s)
        else:
            answers = _computed(paths[0], files, top, strict=strict, **session)
        for done, (image, answer) in enumerate(zip(images, answers, strict=True), start=1):
            output.add(image, answer)
            progress("classify", done, len(images))
    output.finish(strict=strict)
    if output.bad and not skip_bad:
        raise EdgecnnError(f"cannot read {output.bad} of {len(images)} images: see the errors above")


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
        UsageError: an image is missing, or a bundle is used with --url.
    """
    if asks_a_server and not paths:
        raise UsageError("expected at least one image, found none: edgecnn predict --url URL IMAGE...")
    if not asks_a_server and paths and str(paths[0]).startswith(("http:/", "https:/")):
        raise UsageError(f"expected a bundle, found the URL {paths[0]}: use --url URL IMAGE... for a server")
    if not asks_a_server and len(paths) < 2:
        found = f"only {paths[0]}" if paths else "nothing"
        raise UsageError(f"expected BUNDLE IMAGE..., or --url URL IMAGE..., found {found}")
    bundle = next((path for path in paths if is_bundle(path)), None) if asks_a_server else None
    if bundle is not None:
        raise UsageError(f"expected images with --url, found the bundle {bundle}: remove it, the server has its own")


def _computed(bundle: Path, images: Sequence[Path], top: int, *, strict: bool, **session: Any) -> Iterator[Answer]:
    """Classify images on this machine."""
    from edgecnn.runtime.classifier import load

    with load(bundle, strict=strict, **session) as classifier:
        opened, info = classifier.bundle, classifier.info
        origin: dict[str, str | int]
        origin = {"bundle": str(opened.path), "digest": opened.digest, "engine": info.engine, "threads": info.threads}
        for prediction in classifier.predictions(images, top=top):
            yield Answer(prediction, opened.manifest.scores, origin)


def _asked(
    images: Sequence[Path],
    top: int,
    urls: tuple[str, ...],
    *,
    model: str | None,
    key_file: Path | None,
    ca: Path | None,
    timeout_s: float,
) -> Iterator[Answer]:
    """Classify images on servers."""
    from edgecnn.client.client import Client
    from edgecnn.protocol.api_key import read_api_key

    key = None if key_file is None else read_api_key(key_file, shortest=1).decode()
    with Client(urls, model=model, api_key=key, ca=ca, timeout_s=timeout_s) as client:
        for each in client.answers(images, top=top):
            yield Answer(each.prediction, each.scores, {"digest": each.digest, "url": each.url})
