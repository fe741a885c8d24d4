"""Options shared by several commands, and options generated from a stage's dataclass."""

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.cli.completion import complete_source
from edgecnn.errors import UsageError
from edgecnn.files.file import check_writable
from edgecnn.pages.page import LANGUAGE_CHOICES
from edgecnn.pipeline.plot_files import check_plot
from edgecnn.runtime.engines.choices import check_device, check_engine
from edgecnn.stages.recording import recorded

Command = TypeVar("Command", bound=Callable[..., Any])

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)

PATH = click.Path(path_type=Path)
POSITIVE = click.IntRange(min=1)
PRECISION = click.Choice(["fp32", "tf32", "bf16", "fp16"])

json_option = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
force_option = click.option("--force", is_flag=True, help="Replace an existing output, atomically.")
strict_option = click.option("--strict", is_flag=True, help="Treat every warning as an error.")
language_option = click.option(
    "--lang",
    "language",
    type=click.Choice(LANGUAGE_CHOICES),
    default="auto",
    show_default=True,
    help="Language of the page; auto is that of the browser.",
)
public_key_option = click.option(
    "--key", type=PATH, help="PEM file with a public key: reject a bundle without a valid signature by this key."
)


def out_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--out`, a folder."""
    return click.option("--out", required=True, type=PATH, help=text)


def labelled_data_option(text: str) -> Callable[[Command], Command]:
    """Return the required option `--data`, a source of labelled images."""
    return click.option("--data", "source", required=True, metavar="SOURCE", shell_complete=complete_source, help=text)


def measured_images_options(command: Command) -> Command:
    """Add the options that choose the images of a measurement."""
    for option in (
        click.option("--seed", type=click.IntRange(min=0), help="Seed that chooses the images. [default: 0]"),
        click.option("--images", type=POSITIVE, help="Number of images of --data. [default: 500]"),
        click.option(
            "--data",
            metavar="SOURCE",
            shell_complete=complete_source,
            help="Run these images: a data source's name, or a folder, list, archive or pattern of images. Required "
            "for a cascade. [default: the self-test's]",
        ),
    ):
        command = option(command)
    return command


def file_option(name: str, metavar: str, *, help: str, required: bool = False) -> Callable[[Command], Command]:  # noqa: A002
    """Return an option for an output file. It must be writable, outside bundles, and have the suffix of its metavar."""
    suffix = Path(metavar).suffix

    def check(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() != suffix:
            raise UsageError(f"{name} {path}: expected a name that ends in {suffix}")
        if path is not None:
            check_outside_bundles(path)
            check_writable(path)
        return path

    return click.option(name, type=PATH, metavar=metavar, help=help, required=required, callback=check)


def plot_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--plot`, a file that Matplotlib can write."""

    def check(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
        if path is not None:
            check_plot(path)
        return path

    return click.option("--plot", type=PATH, metavar="FILE.png|.svg|.pdf", help=text, callback=check)


def _checked(check: Callable[[str], None]) -> Callable[[click.Context, click.Parameter, str], str]:
    """Return a callback that checks an option's value before anything is read."""

    def callback(context: click.Context, option: click.Parameter, value: str) -> str:
        check(value)
        return value

    return callback


engine_option = click.option(
    "--engine",
    default="auto",
    show_default=True,
    callback=_checked(check_engine),
    help="auto, onnxruntime or openvino.",
)


def session_options(command: Command) -> Command:
    """Add the options that select the engine, device, precision and threads of a bundle."""
    for option in (
        click.option("--threads", type=POSITIVE, help="Threads of one run. [default: the usable cores]"),
        click.option(
            "--precision", type=PRECISION, default="fp32", show_default=True, help="Precision of float layers."
        ),
        click.option(
            "--device",
            default="cpu",
            show_default=True,
            callback=_checked(check_device),
            help="One of cpu, cuda[:N], tensorrt[:N], gpu[:N], npu, auto.",
        ),
        engine_option,
    ):
        command = option(command)
    return command


def session_arguments(device: str, precision: Any, threads: int | None, **others: Any) -> dict[str, Any]:
    """Return a command's options, with the options of `session_options` combined in one `SessionOptions`."""
    from edgecnn.runtime.engines.engine import SessionOptions

    return others | {"options": SessionOptions(device, precision, threads)}


def dataclass_options(cls: type, *, defaults: bool = True) -> Callable[[Command], Command]:
    """Add an option for each field of a dataclass. Name, type, default and help come from the field.

    With `defaults=False` an option that is not given is None, so that a recipe sets the value.
    """

    def add(command: Command) -> Command:
        for field in reversed(dataclasses.fields(cls)):
            name = "--" + field.name.replace("_", "-")
            is_flag = field.type is bool
            if is_flag and not defaults:
                name = f"{name}/--no-{name.removeprefix('--')}"
            command = click.option(
                name,
                type=None if is_flag else SizeType() if field.metadata.get("is_size") else _parameter_type(field.type),
                is_flag=is_flag,
                default=field.default if defaults else None,
                show_default=defaults and not is_flag and field.default is not None,
                help=field.metadata["help"],
            )(command)
        return command

    return add


def take_fields(cls: type, options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options of `dataclass_options` from a command's options, and return them."""
    return {field.name: options.pop(field.name) for field in dataclasses.fields(cls)}


class SidesType(click.ParamType[Any]):
    """Height and width in pixels: `N`, or `H,W`."""

    name = "N|H,W"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | tuple[int, int] | None:
        """Return one number, or height and width."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        found = whole_numbers(value, most=2)
        if found is None:
            raise UsageError(f"--image-size expects N or H,W in pixels, found {value!r}")
        return found[0] if len(set(found)) == 1 else (found[0], found[1])


class SizeType(click.ParamType[Any]):
    """A number of bytes, with an optional unit: `536870912`, `512M`, `512MiB`, `1.5G`."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the number of bytes."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        found = _SIZE.fullmatch(value.strip())
        if found is None:
            self.fail(f"expected bytes, or a number with K, M or G such as 512M, found {value!r}", param, ctx)
        return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def whole_numbers(text: str, *, most: int) -> tuple[int, ...] | None:
    """Return comma-separated numbers in 1..99,999; None if the text has others, or more than `most`."""
    parts = text.split(",")
    are_whole = all(part.isascii() and part.isdigit() and len(part) <= 5 and int(part) > 0 for part in parts)
    return tuple(map(int, parts)) if are_whole and len(parts) <= most else None


def _parameter_type(annotation: Any) -> Any:
    """Return click's parameter type for a field: a choice for `Literal`, `X` for `X | None`."""
    if annotation == int | tuple[int, int] | None:
        return SidesType()
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    return next((option for option in get_args(annotation) if option is not type(None)), annotation)


def command_line() -> str:
    """Return this command line for a record, with absolute paths shortened to their last part."""
    return recorded(sys.argv[1:])
