"""`edgecnn completion`, and the words that complete arguments in a shell."""

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

_HELP = """Print the script that completes commands, options, architectures and paths in SHELL.

\b
    bash, in ~/.bashrc:  eval "$(edgecnn completion bash)"
    zsh, in ~/.zshrc:    eval "$(edgecnn completion zsh)"
    fish:                edgecnn completion fish > ~/.config/fish/completions/edgecnn.fish
"""  # after \b click keeps line breaks


@click.command(help=_HELP)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(context.find_root().command, {}, "edgecnn", "_EDGECNN_COMPLETE").source())


def complete_architecture(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the architectures that begin with a word. With `torchvision:` or `timm:`, return those of the package."""
    from edgecnn.pipeline.models.registry import architectures
    from edgecnn.pipeline.models.words import PACKAGES, is_packaged

    if is_packaged(incomplete):
        from edgecnn.pipeline.models.packaged import names

        package = incomplete.partition(":")[0]
        return _beginning(incomplete, [f"{package}:{name}" for name in names(package)])
    own = [each.name for each in architectures()]
    return _beginning(incomplete, [*own, *(f"{package}:" for package in PACKAGES)])


def complete_architecture_or_path(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the architectures that begin with a word, and tell the shell to complete folders."""
    # Folders come first: bash forgets the words before them.
    return [CompletionItem(incomplete, type="dir"), *complete_architecture(context, parameter, incomplete)]


def complete_source(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the data sources that begin with a word, and tell the shell to complete folders."""
    from edgecnn.pipeline.data.sources import NAMES

    return [CompletionItem(incomplete, type="dir"), *_beginning(incomplete, NAMES)]


def _beginning(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
