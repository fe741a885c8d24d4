"""Run a batch job: list the images, prove the bundle on this machine, compute the missing shards, write them."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.batch.computing import SHOWN_ERRORS, Shard, compute_shards, proven_classifier
from edgecnn.batch.job import Environment, Job, environment_of
from edgecnn.batch.options import BatchOptions
from edgecnn.batch.output import open_output
from edgecnn.batch.plan import Plan
from edgecnn.batch.rows import encoder
from edgecnn.batch.sources import Source, open_images
from edgecnn.bundle.store import Bundle
from edgecnn.errors import SourceError, UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.classifier import Classifier
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import choose_engine
from edgecnn.runtime.profile import tuned_setting
from edgecnn.runtime.setting import Setting


@dataclass(frozen=True)
class Work:
    """Everything that computes shards needs.

    Attributes:
        bundle: the bundle.
        job: the job.
        environment: versions and processor of the job's first run.
        source: the images.
        plan: the images of each shard.
        classifier: the opened bundle, which was proven on this machine.
        advance: called with the number of images that were classified since the last call.
    """

    bundle: Bundle
    job: Job
    environment: Environment
    source: Source
    plan: Plan
    classifier: Classifier
    advance: Callable[[int], None]


@dataclass(frozen=True)
class BatchReport:
    """The result of a job.

    Attributes:
        out: the output folder.
        images: rows in all shards.
        errors: rows with an error in all shards.
        first_errors: names and errors of the first of them that this run found.
        shards: number of all shards.
        computed: shards that this run computed.
        seconds: duration of computing them.
        images_per_s: images of these shards per second; None without any.
        differing: environments that differ from the job's, in which shards were computed.
    """

    out: Path
    images: int
    errors: int
    first_errors: tuple[str, ...]
    shards: int
    computed: int
    seconds: float
    images_per_s: float | None
    differing: tuple[str, ...]


Compute = Callable[[Work, Sequence[int]], Iterator[Shard]]
"""Computes shards in any order. It may close `Work.classifier`."""


def run_job(
    bundle: Bundle,
    sources: Sequence[str],
    out: Path,
    *,
    options: BatchOptions,
    engine: str = "auto",
    session: SessionOptions | None = None,
    compute: Compute | None = None,
    progress: Progress = silent,
) -> BatchReport:
    """Classify the images of a source, or continue an earlier run with the same arguments.

    Args:
        bundle: the bundle.
        sources: see `open_images`.
        out: the output folder.
        options: options of the job.
        engine: `auto`, `onnxruntime` or `openvino`; `auto` continues with the engine of an earlier run.
        session: device, precision and threads.
        compute: computes the shards. The default is this process.
        progress: called after each batch.

    Raises:
        SourceError: the source does not exist, is empty, contains a name twice, or vanished.
        UsageError: the output folder belongs to another job.
        ProofFailed: the bundle's self-test does not pass on this machine.
        EngineError: the engine failed.
        EdgecnnError: writing failed, or another process runs a job in the folder.
    """
    _check_outside(out, sources)
    encoder(options.format)  # before long work
    source = open_images(sources, column=options.column)
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(open_output(out))
        plan = stack.enter_context(contextlib.closing(Plan(source.entries(), shard_images=options.shard_images)))
        if not plan.images:
            raise SourceError(f"{source.place} contains no images")
        earlier = None if output.manifest is None else output.manifest.job.setting
        setting = _setting(bundle, engine, session or SessionOptions(), options.batch, earlier)
        classifier = stack.enter_context(proven_classifier(bundle, setting))
        job = Job(
            bundle=bundle.manifest.name,
            digest=bundle.digest,
            source=source.kind,
            images=plan.images,
            images_digest=plan.digest,
            shard_images=options.shard_images,
            format=options.format,
            top=options.top,
            setting=setting,
        )
        output.begin(job, environment_of(classifier.info, options.format))
        assert output.manifest is not None
        missing = output.missing()
        counter = _Counter(sum(map(plan.size_of, missing)), progress)
        work = Work(bundle, job, output.manifest.environment, source, plan, classifier, counter.advance)
        first_errors: list[str] = []
        for shard in (compute or compute_here)(work, missing):
            output.add(
                shard.number, shard.content, images=shard.images, errors=shard.errors, environment=shard.environment
            )
            first_errors = [*first_errors, *shard.first_errors][:SHOWN_ERRORS]
        output.finish()
        records = output.manifest.shards
        others = {record.environment for record in records if record.environment is not None}
        differing = sorted(filter(None, map(work.environment.difference, others)))
        return BatchReport(
            out=out,
            images=sum(record.images for record in records),
            errors=sum(record.errors for record in records),
            first_errors=tuple(first_errors),
            shards=len(records),
            computed=len(missing),
            seconds=counter.seconds,
            images_per_s=counter.rate,
            differing=tuple(differing),
        )


def _check_outside(out: Path, sources: Sequence[str]) -> None:
    """Check that the output folder is not in a folder or pattern of images, where the next run would find the shards.

    Raises:
        UsageError: it is.
    """
    place = Path(os.path.realpath(out))
    for source in sources:
        folder = source.partition("**")[0].rpartition("/")[0] if "**" in source else source
        if Path(folder).is_dir() and place.is_relative_to(os.path.realpath(folder)):
            raise UsageError(f"{out} is inside the source {source}: choose an --out outside it")


def compute_here(work: Work, shards: Sequence[int]) -> Iterator[Shard]:
    """Compute shards in this process, one after another. Decoding continues beyond the end of a shard."""
    planned = ((number, work.plan.entries(number)) for number in shards)
    environment = environment_of(work.classifier.info, work.job.format)
    return compute_shards(work.classifier, work.source, work.job, planned, environment, advance=work.advance)


def _setting(bundle: Bundle, engine: str, session: SessionOptions, batch: int, earlier: Setting | None) -> Setting:
    """Return how a job runs: as given, else as in an earlier run, else as `tune` has found, else the defaults."""
    if earlier is None and engine == "auto" and (session.device, session.precision) == ("cpu", "fp32"):
        earlier = tuned_setting(bundle, "throughput")
    known = earlier if earlier is not None and engine in ("auto", earlier.engine) else None
    return Setting(
        engine=known.engine if known else choose_engine(engine, session.device).name,
        device=session.device,
        precision=session.precision,
        threads=session.threads or (known.threads if known else usable_cores()),
        instances=known.instances if known else 1,
        batch=batch,
    )


class _Counter:
    """Counts classified images and reports progress."""

    def __init__(self, images: int, progress: Progress) -> None:
        self._images, self._done, self._progress = images, 0, progress
        self._start = time.perf_counter()

    def advance(self, images: int) -> None:
        """Count images."""
        self._done += images
        self._progress("classify", self._done, self._images, f"{self._done / self.seconds:,.0f} images/s")

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    @property
    def rate(self) -> float | None:
        """Images per second; None before the first."""
        return self._done / self.seconds if self._done else None
