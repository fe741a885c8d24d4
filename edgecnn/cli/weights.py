"""The options of weights from other tools, which `export`, `evaluate` and `verify` share."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

import click

from edgecnn.bundle.choices import Interpolation, PixelRange, ResizeMode, ScoresKind
from edgecnn.cli.completion import complete_architecture
from edgecnn.cli.options import PATH, Command, whole_numbers
from edgecnn.cli.subjects import known_architecture
from edgecnn.errors import UsageError


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
    sides = whole_numbers(text, most=2)
    if sides is None:
        none = ", or none" if option.name == "crop" else ""
        raise UsageError(f"{option.opts[0]} expects N or H,W in pixels{none}, found {text!r}")
    return sides if option.name == "resize" or len(sides) == 2 else sides * 2


def _levels(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if not all(part.isascii() and part.isdigit() and len(part) <= 3 and int(part) <= 255 for part in text.split(",")):
        raise UsageError(f"--fill expects one level in 0..255, or one for each channel, found {text!r}")
    return tuple(map(int, text.split(",")))


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
    "--mean": ("mean of the pixels, per channel.", "ImageNet's", {"callback": _numbers, "metavar": "M[,M,M]"}),
    "--std": (
        "standard deviation of the pixels, per channel.",
        "ImageNet's",
        {"callback": _numbers, "metavar": "S[,S,S]"},
    ),
    "--pixel-range": (
        "range of the pixels before --mean and --std. With 0-255, the defaults are 0 and 1.",
        "0-1",
        {"type": click.Choice(get_args(PixelRange))},
    ),
    "--transform-input/--no-transform-input": ("trained with torchvision's transform_input (GoogLeNet).", "yes", {}),
    "--labels": (
        "one class name per line, or JSON such as id2label.",
        "the class indices",
        {"type": PATH, "metavar": "FILE"},
    ),
    "--scores": (
        "how the outputs become scores: softmax; sigmoid of each; multi-label for several labels per image.",
        "softmax; sigmoid for one output",
        {"type": click.Choice(get_args(ScoresKind))},
    ),
    "--threshold": ("smallest score of a label, with --scores multi-label.", "0.5", {"type": float, "metavar": "T"}),
    "--stem": ("stem of a ResNet.", "standard", {"type": click.Choice(["standard", "small"])}),
}
_OF_A_BUNDLE = ("--image-size", "--labels", "--stem", "--scores", "--threshold")


def weights_options(
    *keys: str,
    prefix: str,
    has_bundle: bool = False,
    without: tuple[str, ...] = (),
    defaults: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of weights. All of them are None if they are not given.

    Args:
        keys: names of the option that chooses one of several sets of weights in a file; none to leave it out.
        prefix: beginning of each help text, such as `With --weights`; may be empty.
        has_bundle: whether image size, labels, stem and scores are a bundle's unless they are given.
        without: options to leave out, such as `--stem`.
        defaults: texts that name the default of an option, if it is another one than that of `export`.
    """
    key_help = f"{prefix}: the entry of a file with several sets of weights, such as model_ema."

    def add(command: Command) -> Command:
        if keys:
            command = click.option(*keys, "weights_key", metavar="NAME", help=key_help)(command)
        for name, (text, default, arguments) in reversed(_OPTIONS.items()):
            if name.partition("/")[0] in without:
                continue
            shown = "BUNDLE's" if has_bundle and name in _OF_A_BUNDLE else (defaults or {}).get(name, default)
            full = f"{beginning(prefix, text)} [default: {shown}]"
            command = click.option(name, default=None, help=full, **arguments)(command)
        return command

    return add


def beginning(prefix: str, text: str) -> str:
    """Return a help text that begins with a prefix, if there is one, else with a capital letter."""
    return f"{prefix}: {text}" if prefix else f"{text[0].upper()}{text[1:]}"


def take_weights_options(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options of weights from a command's options, and return those that are given."""
    names = [name.partition("/")[0].removeprefix("--").replace("-", "_") for name in _OPTIONS]
    described = {name: options.pop(name, None) for name in names} | {"key": options.pop("weights_key", None)}
    return {name: value for name, value in described.items() if value is not None}
