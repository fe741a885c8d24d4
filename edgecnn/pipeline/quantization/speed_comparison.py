"""Compares a quantized bundle with its FP32 parent: its drop, and its speed and size on this machine."""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.bundle.store import Bundle
from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.rates import Estimate, percent
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.verification.answers import answers_of, same
from edgecnn.runtime.verification.evaluation import Evaluation
from edgecnn.runtime.verification.paired import paired_drop
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.estimates import as_fast, medians_ms, percentile_ms, ratio, why_uncertain
from edgecnn.tuning.measuring.turn import Runner, Turn, interleave, settle

_ROUNDS, _MOST_ROUNDS = 12, 36
_TURN_S = 0.1
_WARM_UP_S = 1.0


@dataclass(frozen=True)
class EngineComparison:
    """Both bundles on one engine. The times are None if the machine was busy, or the engine failed.

    Attributes:
        engine: name of the engine.
        drop: paired drop from the reference; None if the targets are unknown.
        agreement: agreement with the reference.
        fp32_ms: median time of one image.
        quantized_ms: the same for the quantized bundle.
        ratio: the quantized bundle is this many times as fast as FP32.
        failure: why a bundle did not run; None if both ran.
    """

    engine: str
    drop: PairedDrop | None
    agreement: float
    fp32_ms: Estimate | None = None
    quantized_ms: Estimate | None = None
    ratio: Estimate | None = None
    failure: str | None = None


@dataclass(frozen=True)
class SpeedComparison:
    """The costs and gains of quantization on each engine and in bundle size.

    Attributes:
        precision: precision of the quantized bundle, `int8` or `fp16`.
        engines: the comparison on each engine.
        threads: threads of one run. A run has one image.
        fp32_bytes: size of the FP32 bundle.
        quantized_bytes: size of the quantized bundle.
        ratio: the quantized bundle on its fastest engine is this many times as fast as FP32 on its fastest engine; None
            if unknown.
        is_busy: whether other work on this machine prevented the comparison of speeds.
        conclusion: the result in one sentence.
    """

    precision: str
    engines: tuple[EngineComparison, ...]
    threads: int
    fp32_bytes: int
    quantized_bytes: int
    ratio: Estimate | None
    is_busy: bool
    conclusion: str

    def _repr_html_(self) -> str:
        """Return the costs and gains on each engine as a table, for notebooks."""
        from edgecnn.html_table import table

        header = ("engine", "drop", "agreement", "FP32 ms", f"{self.precision.upper()} ms", "speed")
        rows = [
            (
                each.engine,
                "unknown" if each.drop is None else str(each.drop),
                percent(each.agreement),
                *("unknown" if value is None else str(value) for value in (each.fp32_ms, each.quantized_ms)),
                (each.failure or "unknown") if each.ratio is None else as_fast(each.ratio),
            )
            for each in self.engines
        ]
        return table(self.conclusion, rows, header=header, right=(1, 2, 3, 4))


def compare_bundles(
    parent: Bundle, bundle: Bundle, evaluation: Evaluation, *, progress: Progress = silent
) -> SpeedComparison:
    """Compare a bundle with its FP32 parent on every engine, with one image per run and on all usable cores.

    `evaluation` contains the logits of the bundle on each engine, and of `reference`. Each candidate runs in a
    separate process, as in `tune`.
    """
    engines, threads = compare_answers(evaluation, parent.manifest.scores), usable_cores()
    with contextlib.ExitStack() as stack:

        def opened(each: Bundle, engine: str) -> Candidate:
            candidate = stack.enter_context(Candidate(each, Setting(engine, threads=threads)))
            candidate.open(warm_up_s=_WARM_UP_S)
            return candidate

        pairs = [(opened(parent, each.engine), opened(bundle, each.engine)) for each in engines]
        sizes = parent.size_bytes, bundle.size_bytes
        precision = bundle.manifest.precision
        found = compare_speeds(engines, pairs, precision=precision, threads=threads, sizes=sizes, progress=progress)
        failures = [fp32.failure or quantized.failure for fp32, quantized in pairs]
    compared = zip(found.engines, failures, strict=True)
    return dataclasses.replace(
        found, engines=tuple(dataclasses.replace(each, failure=failure) for each, failure in compared)
    )


def compare_answers(evaluation: Evaluation, scores: Scores) -> tuple[EngineComparison, ...]:
    """Return the drop and the agreement of each engine."""
    targets = evaluation.targets
    answers = {name: answers_of(logits, scores) for name, logits in evaluation.logits.items()}
    expected = answers.pop("reference")
    return tuple(
        EngineComparison(
            engine=name,
            drop=None if targets is None else paired_drop(same(expected, targets), same(found, targets)),
            agreement=float(same(found, expected).mean()),
        )
        for name, found in answers.items()
    )


def compare_speeds(
    engines: Sequence[EngineComparison],
    pairs: Sequence[tuple[Runner, Runner]],
    *,
    precision: str,
    threads: int,
    sizes: tuple[int, int],
    progress: Progress = silent,
) -> SpeedComparison:
    """Time the FP32 and the quantized candidate of each engine, all in turns, and draw the conclusion.

    If the machine is busy, nothing is reported about speeds: if too few rounds are undisturbed, or the interval of a
    ratio is too wide. See `settle` and `why_uncertain`. `sizes` has the bytes of both bundles, FP32 first.
    """
    runners = [runner for pair in pairs for runner in pair]
    turns = interleave(
        runners, rounds=_ROUNDS, most=_MOST_ROUNDS, seconds=_TURN_S, stage="comparing speeds", progress=progress
    )
    rounds = settle(turns, _ROUNDS)
    timed = rounds.pairs(each.engine for each in engines)
    size = f"{precision.upper()} is {sizes[1] / sizes[0]:.2f} × as large as FP32"
    untimed = SpeedComparison(precision, tuple(engines), threads, *sizes, ratio=None, is_busy=False, conclusion="")
    if not timed:
        return dataclasses.replace(untimed, conclusion=f"no speed comparison: no engine ran both bundles; {size}")
    compared = tuple(_with_times(each, *timed[each.engine]) if each.engine in timed else each for each in engines)
    fp32, quantized = (min(timed, key=lambda name: median(medians_ms(timed[name][which]))) for which in (0, 1))
    overall = ratio(medians_ms(timed[fp32][0]), medians_ms(timed[quantized][1]))
    doubt = why_uncertain(rounds, (overall, *(each.ratio for each in compared)))
    if doubt is not None:
        return dataclasses.replace(untimed, is_busy=True, conclusion=f"{doubt}; {size}")
    text = _sentence(precision, Setting(quantized, threads=threads), Setting(fp32, threads=threads), overall)
    return dataclasses.replace(untimed, engines=compared, ratio=overall, conclusion=f"{text}; {size}")


def _with_times(engine: EngineComparison, fp32: Sequence[Turn], quantized: Sequence[Turn]) -> EngineComparison:
    return dataclasses.replace(
        engine,
        fp32_ms=percentile_ms(fp32, 50),
        quantized_ms=percentile_ms(quantized, 50),
        ratio=ratio(medians_ms(fp32), medians_ms(quantized)),
    )


def _sentence(precision: str, quantized: Setting, fp32: Setting, found: Estimate) -> str:
    # FP16 saves space, not time: both bundles run the same operators.
    keep = "keep FP32 on this machine: " if precision == "int8" and found.high < 1 else ""
    return f"{keep}{precision.upper()} on {quantized} is {as_fast(found)} as FP32 on {fp32}"
