"""Options that several commands share, and options made from a stage's dataclass."""

import dataclasses
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
POSITIVE = click.IntRange(min=1)
PRECISION = click.Choice(["fp32", "tf32", "bf16", "fp16"])

json_option = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
force_option = click.option(
    "--force", is_flag=True, help="Replace an existing output; a crash leaves the old or the new."
)
strict_option = click.option("--strict", is_flag=True, help="Take every warning for an error.")
public_key_option = click.option(
    "--key", type=PATH, help="PEM file with a public key: refuse a bundle that its owner has not signed."
)


def out_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--out`, a folder."""
    return click.option("--out", required=True, type=PATH, help=text)


def file_option(name: str, metavar: str, *, help: str) -> Callable[[Command], Command]:  # noqa: A002
    """Return an option that names a file to write: outside bundles, with the extension of its metavar."""
    suffix = Path(metavar).suffix

    def check(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() != suffix:
            raise UsageError(f"{name} {path}: expected a name that ends in {suffix}")
        if path is not None:
            check_outside_bundles(path)
        return path

    return click.option(name, type=PATH, metavar=metavar, help=help, callback=check)


def session_options(command: Command) -> Command:
    """Add the options that say where and how a bundle runs."""
    for option in (
        click.option("--threads", type=POSITIVE, help="Threads of a run. [default: the usable cores]"),
        click.option(
            "--precision", type=PRECISION, default="fp32", show_default=True, help="What float layers compute in."
        ),
        click.option(
            "--device", default="cpu", show_default=True, help="One of cpu, cuda[:N], tensorrt[:N], gpu[:N], npu, auto."
        ),
        click.option("--backend", default="auto", show_default=True, help="auto, onnxruntime or openvino."),
    ):
        command = option(command)
    return command


def session_arguments(device: str, precision: Any, threads: int | None, **others: Any) -> dict[str, Any]:
    """Return a command's options with those of `session_options` as one `SessionOptions`."""
    from edgecnn.runtime.engines.backend import SessionOptions

    return others | {"options": SessionOptions(device, precision, threads)}


def dataclass_options(cls: type, *, defaults: bool = True) -> Callable[[Command], Command]:
    """Add an option for each field of a stage's options: name, type, default and help all come from the field.

    Without `defaults` an option that is not given is None: a recipe then decides, not the field.
    """

    def add(command: Command) -> Command:
        for field in reversed(dataclasses.fields(cls)):
            name = "--" + field.name.replace("_", "-")
            is_flag = field.type is bool
            if is_flag and not defaults:
                name = f"{name}/--no-{name.removeprefix('--')}"
            command = click.option(
                name,
                type=None if is_flag else _parameter_type(field.type),
                is_flag=is_flag,
                default=field.default if defaults else None,
                show_default=defaults and not is_flag and field.default is not None,
                help=field.metadata["help"],
            )(command)
        return command

    return add


def take_fields(cls: type, options: dict[str, Any]) -> dict[str, Any]:
    """Remove what `dataclass_options` has added from a command's options, and return it."""
    return {field.name: options.pop(field.name) for field in dataclasses.fields(cls)}


def _parameter_type(annotation: Any) -> Any:
    """Return what click parses a field's type with: a choice for Literal, the type itself for `X | None`."""
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    return next((option for option in get_args(annotation) if option is not type(None)), annotation)


def command_line() -> str:
    """Return this command line for a record, absolute paths cut to their last part."""
    return shlex.join(["edgecnn", *map(_portable, sys.argv[1:])])


def _portable(argument: str) -> str:
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{option}{equals}{Path(value).name}" if Path(value).is_absolute() else argument
