"""Messages for mistakes on the command line: one line with what was found and what to do."""

import shlex
from collections.abc import Iterable
from pathlib import Path

import click

from edgecnn.bundle.finding import is_bundle, other_than_bundle
from edgecnn.hints import closest, did_you_mean, suggestion

_SYNONYMS = {
    "--version": ("version",),
    "models": ("list", "ls", "architectures", "networks"),
    "train": ("fit", "finetune"),
    "evaluate": ("test", "score", "accuracy", "validate"),
    "export": ("convert",),
    "import": ("onnx", "load"),
    "quantize": ("compress", "int8", "fp16"),
    "verify": ("check", "compare"),
    "predict": ("infer", "inference", "classify", "run"),
    "batch": ("transform", "job", "bulk"),
    "benchmark": ("speed", "time", "measure"),
    "tune": ("optimize", "optimise"),
    "install": ("deploy",),
    "inspect": ("info", "show", "summary"),
    "doctor": ("devices", "env", "hardware"),
}
"""Words of other tools, by command."""


class Commands(click.Group):
    """The commands of edgecnn. An unknown one is refused with a hint."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; `--help COMMAND` is `COMMAND --help`."""
        if len(args) > 1 and args[0] in ctx.help_option_names:
            args = [args[1], args[0]]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command.

        Raises:
            UsageError: it is unknown.
        """
        word = args[0]
        if not (word in self.commands or word.startswith("-") or ctx.resilient_parsing):
            raise click.UsageError(f"no such command: {word}{_hint(word, self.commands)}", ctx)
        return super().resolve_command(ctx, args)


def usage_line(error: click.UsageError) -> str:
    """Return a mistake that click has found, on one line, with the command whose help to read."""
    message, context = error.format_message(), error.ctx
    if isinstance(error, click.NoSuchOption) and context is not None:
        options = [name for each in context.command.params for name in (*each.opts, *each.secondary_opts)]
        names = [name for name in options if name.startswith("--")]
        message = f"no such option: {error.option_name}{did_you_mean(error.option_name, names)}"
    message = message.rstrip(".")
    see = "" if context is None else f"; see `{context.command_path} --help`"
    return f"{message[:1].lower()}{message[1:]}{see}"


def _hint(word: str, commands: Iterable[str]) -> str:
    """Return what to do with an unknown command, which may be a path or an architecture."""
    path = Path(word)
    if is_bundle(path):
        return f", which is a bundle: edgecnn predict {shlex.quote(word)} IMAGE"
    other = other_than_bundle(path)
    if other is not None:
        return f", which {other}"
    others = {synonym: name for name, synonyms in _SYNONYMS.items() for synonym in synonyms}
    command = closest(word, commands, others=others)
    if command is not None:
        return suggestion(command)
    from edgecnn.pipeline.models.registry import closest_architecture

    architecture = closest_architecture(word)
    if architecture is None:
        return ""
    return f", which is an architecture: edgecnn train {architecture} --data SOURCE --out FOLDER"
