"""The options of weights from other tools, which `export`, `evaluate` and `verify` share."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

import click

from edgecnn.bundle.choices import Interpolation, ResizeMode
from edgecnn.cli.completion import complete_architecture
from edgecnn.cli.options import PATH, Command
from edgecnn.cli.subjects import known_architecture
from edgecnn.errors import UsageError

if TYPE_CHECKING:
    from edgecnn.pipeline.importing.options import WeightsOptions


def architecture_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--arch`, the architecture of a weights file."""
    return click.option(
        "--arch",
        "architecture",
        metavar="ARCH",
        callback=known_architecture,
        shell_complete=complete_architecture,
        help=text,
    )


def _numbers(context: click.Context, option: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option.opts[0]} expects comma-separated numbers such as 0.485,0.456,0.406, found {text!r}"
        ) from None


def _sides(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Parse N or H,W; for a crop also `none`, which is an empty tuple."""
    if text is None:
        return None
    if option.name == "crop" and text == "none":
        return ()
    parts = text.split(",")
    if len(parts) > 2 or not all(_is_whole(part, 1, 99_999) for part in parts):
        none = ", or none" if option.name == "crop" else ""
        raise UsageError(f"{option.opts[0]} expects N or H,W in pixels{none}, found {text!r}")
    sides = tuple(map(int, parts))
    return sides if option.name == "resize" or len(sides) == 2 else sides * 2


def _levels(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if not all(_is_whole(part, 0, 255) for part in text.split(",")):
        raise UsageError(f"--fill expects one level in 0..255, or one for each channel, found {text!r}")
    return tuple(map(int, text.split(",")))


def _is_whole(text: str, smallest: int, largest: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and smallest <= int(text) <= largest


_SIZE, _CROP = "N|H,W", "N|H,W|none"
_OPTIONS: dict[str, tuple[str, str, dict[str, Any]]] = {  # help, default, arguments of `click.option`
    "--image-size": (
        "height and width of the network's input.",
        "224; LeNet 32",
        {"callback": _sides, "metavar": _SIZE},
    ),
    "--resize": (
        "one side, or height and width, before the crop.",
        "256/224 of the image size",
        {"callback": _sides, "metavar": _SIZE},
    ),
    "--resize-mode": (
        "what --resize sets.",
        "shorter for N, squash for H,W",
        {"type": click.Choice(get_args(ResizeMode))},
    ),
    "--crop": ("center crop.", "the image size", {"callback": _sides, "metavar": _CROP}),
    "--interpolation": (
        f"filter of the resize: {', '.join(get_args(Interpolation))}.",
        "bilinear",
        {"type": click.Choice(get_args(Interpolation)), "metavar": "FILTER"},
    ),
    "--fill": ("padding of letterbox, 0 to 255.", "0", {"callback": _levels, "metavar": "L[,L,L]"}),
    "--mean": ("mean of pixels in [0, 1].", "ImageNet", {"callback": _numbers, "metavar": "M[,M,M]"}),
    "--std": ("standard deviation of pixels in [0, 1].", "ImageNet", {"callback": _numbers, "metavar": "S[,S,S]"}),
    "--transform-input/--no-transform-input": ("trained with torchvision's transform_input (GoogLeNet).", "yes", {}),
    "--labels": (
        "one class name per line, or JSON such as id2label.",
        "the class indices",
        {"type": PATH, "metavar": "FILE"},
    ),
    "--stem": ("stem of a ResNet.", "standard", {"type": click.Choice(["standard", "small"])}),
}
_OF_A_BUNDLE = ("--image-size", "--labels", "--stem")


def weights_options(*keys: str, prefix: str, has_bundle: bool = False) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of weights. All of them are None if they are not given.

    Args:
        keys: names of the option that chooses one of several sets of weights in a file.
        prefix: beginning of each help text, such as `With --weights`.
        has_bundle: whether image size, labels and stem are a bundle's unless they are given.
    """
    key_help = f"{prefix}: the entry of a file with several sets of weights, such as model_ema."

    def add(command: Command) -> Command:
        command = click.option(*keys, "weights_key", metavar="NAME", help=key_help)(command)
        for name, (text, default, arguments) in reversed(_OPTIONS.items()):
            shown = "BUNDLE's" if has_bundle and name in _OF_A_BUNDLE else default
            full = f"{prefix}: {text} [default: {shown}]"
            command = click.option(name, default=None, help=full, **arguments)(command)
        return command

    return add


def take_weights_options(options: dict[str, Any]) -> "WeightsOptions | None":
    """Remove the options of weights from a command's options, and return them; None if none is given.

    Raises:
        UsageError, LabelsError: the file with labels cannot be read.
    """
    names = [name.partition("/")[0].removeprefix("--").replace("-", "_") for name in _OPTIONS]
    described = {name: options.pop(name) for name in names} | {"key": options.pop("weights_key")}
    given = {name: value for name, value in described.items() if value is not None}
    if not given:
        return None
    from edgecnn.pipeline.importing.labels import read_labels
    from edgecnn.pipeline.importing.options import WeightsOptions

    if (path := given.get("labels")) is not None:
        given |= {"labels": read_labels(path), "labels_from": f"--labels {path}"}
    return WeightsOptions(**given)
