"""The `edgecnn` command. It converts errors to one line and an exit code."""

import io
import os
import sys
import warnings
from typing import NoReturn, TextIO

import click

from edgecnn import __version__
from edgecnn.cli.batch import batch
from edgecnn.cli.benchmark import benchmark
from edgecnn.cli.build import build
from edgecnn.cli.cascade import cascade
from edgecnn.cli.compare_networks import compare_networks
from edgecnn.cli.completion import completion
from edgecnn.cli.doctor import doctor
from edgecnn.cli.evaluate import evaluate
from edgecnn.cli.explain import explain
from edgecnn.cli.export import export
from edgecnn.cli.import_ import import_
from edgecnn.cli.inspect import inspect, models
from edgecnn.cli.install import install, rollback
from edgecnn.cli.learn import learn
from edgecnn.cli.output import printable, warn
from edgecnn.cli.pack import pack, unpack
from edgecnn.cli.predict import predict
from edgecnn.cli.quantize import quantize
from edgecnn.cli.report import report
from edgecnn.cli.serve import serve
from edgecnn.cli.sign import sign
from edgecnn.cli.train import train
from edgecnn.cli.tune import tune
from edgecnn.cli.usage import Commands, usage_line
from edgecnn.cli.verify import verify
from edgecnn.errors import EdgecnnError, EdgecnnWarning, WeightsNote
from edgecnn.hints import install_command

_EXTRA_OF = (
    dict.fromkeys(
        ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "sklearn", "safetensors", "matplotlib"),
        "pipeline",
    )
    | dict.fromkeys(("httptools", "orjson", "prometheus_client", "uvloop"), "serve")
    | dict.fromkeys(("model_signing", "cryptography", "OpenSSL"), "signing")
    | {
        "jinja2": "pages",
        "tensorboard": "tensorboard",
        "urllib3": "client",
        "grpc": "grpc",
        "google": "grpc",
        "pyarrow": "batch",
        "ray": "ray",
    }
)
_INTERRUPTED = 130  # 128 + SIGINT, as shells count


_HELP = """Deploy a convolutional network from PyTorch to an edge device, with proof.

\b
    train      images                     -> checkpoint
    evaluate   checkpoint or bundle       -> accuracy, confusion, calibration
    compare-networks networks, images     -> page: accuracy, speed, curves
    build      network, images            -> bundles, profile, archive
    export     checkpoint                 -> FP32 bundle, proven
    import     ONNX file                  -> FP32 bundle, proven
    quantize   FP32 bundle                -> INT8 or FP16 bundle
    cascade    fast and accurate bundle   -> bundle with both, proven
    verify     bundle                     -> comparison with the reference
    sign       bundle, key                -> signature file
    predict    bundle or server, images   -> labels
    batch      bundle, many images        -> Parquet or JSON Lines, resumable
    report     bundles                    -> page: accuracy, layers, devices
    benchmark  bundles                    -> latency, throughput, memory
    tune       bundles of one reference   -> profile: the fastest setting
    serve      bundles                    -> Open Inference Protocol
    pack       bundle                     -> archive
    unpack     archive                    -> bundle
    install    bundle or archive          -> new current version
    rollback   installed versions         -> previous version
    models                                -> architectures, their cost
    inspect    network, or bundle         -> layers
    explain    bundle, image              -> page: what each layer computes
    learn                                 -> pages about convolutional networks
    doctor     this machine               -> hardware, engines, hazards
    completion shell                      -> script for its configuration
    help       command                    -> its options

Exit codes: 0 success, 1 failure, 2 usage error, 3 failed proof or signature, or slower than before.
"""  # after \b click keeps line breaks


@click.group(
    cls=Commands,
    help=_HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="edgecnn")
@click.pass_context
def cli(context: click.Context) -> None:
    """Run a command, or show the help."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@click.command("help")
@click.argument("command", required=False)
@click.pass_context
def show_help(context: click.Context, command: str | None) -> None:
    """Show the help of COMMAND, or of edgecnn."""
    words = ["--help"] if command is None else [command, "--help"]
    cli.main(words, prog_name="edgecnn", standalone_mode=False)


for command in (
    *(
        models,
        train,
        evaluate,
        build,
        export,
        import_,
        quantize,
        cascade,
        verify,
        sign,
        predict,
        batch,
        benchmark,
        tune,
    ),
    *(serve, report, compare_networks),
    *(pack, unpack, install, rollback, inspect, explain, learn, doctor, completion, show_help),
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and exit."""
    # Pillow warns about damaged EXIF data and huge images; edgecnn raises its own errors for these.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("always", category=EdgecnnWarning)
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):  # the terminal's encoding may not support a label's characters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(prog_name="edgecnn", standalone_mode=False)
        if sys.stdout is not None:  # it may be closed
            sys.stdout.flush()
    except click.UsageError as error:
        _fail(usage_line(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except EdgecnnError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _fail(f"this command needs {error.name}, which is not installed: {install_command(extra)}", 1)
    except BrokenPipeError:  # the reader has closed the pipe, as in `edgecnn … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print warnings of edgecnn on one line, and others in Python's format."""
    if issubclass(category, WeightsNote):
        click.echo(f"note: {printable(str(message))}", err=True)
    elif issubclass(category, EdgecnnWarning):
        warn(str(message))
    else:
        click.echo(warnings.formatwarning(message, category, filename, lineno, line), file=file, err=True, nl=False)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {printable(' '.join(message.split()))}", err=True)
    sys.exit(code)
