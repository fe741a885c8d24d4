"""`edgecnn batch`: classify many images, in shards that survive an interruption."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.batch.options import BatchOptions
from edgecnn.cli.options import PATH, POSITIVE, dataclass_options, json_option, out_option, session_options
from edgecnn.cli.output import counted, emit, progress_bar, warn
from edgecnn.errors import EdgecnnError

if TYPE_CHECKING:
    from edgecnn.batch.running import BatchReport


@click.command()
@click.argument("bundle", type=PATH)
@click.argument("sources", metavar="SRC...", nargs=-1, required=True)
@out_option("Folder of the shards and their manifest: new, empty, or of an earlier run.")
@dataclass_options(BatchOptions)
@session_options
@click.option("--ray", metavar="ADDRESS|auto", help="Compute the shards on this Ray cluster, HOST:PORT or auto.")
@click.option("--min-actors", type=POSITIVE, help="With --ray, least number of actors. [default: 1]")
@click.option(
    "--max-actors", type=POSITIVE, help="With --ray, largest number of actors. [default: the cluster's cores]"
)
@click.option("--strict", is_flag=True, help="Exit with 1 if an image cannot be read. The job still finishes.")
@json_option
def batch(
    bundle: Path,
    sources: tuple[str, ...],
    out: Path,
    ray: str | None,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Classify the images of SRC with BUNDLE, or with the bundle in a folder that `tune` has chosen.

    SRC is a folder of images, a text file with one path per line, a glob pattern, or one or several images, tar
    archives (as of WebDataset) or Parquet files. The answers are written as shards to --out: path, label, probability,
    top labels, margin and error of each image, in the order of the names, or of the list, the archive or the table.

    Run the same command again after an interruption: it computes only the shards that are missing or damaged. An image
    that cannot be read gets a row with its error.

    With --ray, the nodes of a Ray cluster compute the shards. SRC must have the same path on every node. Each node
    receives the bundle and runs its self-test before its first image.
    """
    from edgecnn.stages.batching import batch_predict

    with progress_bar() as progress:
        report = batch_predict(bundle, sources, out, ray=ray, progress=progress, **options)
    emit(report, _text(report), as_json=as_json)
    for difference in report.differing if ray is None else ():  # a cluster names its nodes
        warn(f"some shards were computed in another environment: {difference}; labels agree where margins are large")
    if report.errors and strict:
        raise EdgecnnError(f"{report.errors} of {report.images} images cannot be read: see the column error in {out}")


def _text(report: "BatchReport") -> str:
    kept = report.shards - report.computed
    earlier = f", {kept} of them by an earlier run" if kept else ""
    speed = "" if report.images_per_s is None else f"; {report.images_per_s:,.0f} images/s, {report.seconds:,.1f} s"
    lines = [f"{counted(report.images, 'image')} in {counted(report.shards, 'shard')}{earlier}: {report.out}{speed}"]
    if report.errors:
        lines.append(f"  {counted(report.errors, 'image')} cannot be read: see the column error")
        lines += [f"    {error}" for error in report.first_errors]
        more = report.errors - len(report.first_errors)
        if more and report.first_errors:
            lines.append(f"    and {more} more")
    return "\n".join(lines)
