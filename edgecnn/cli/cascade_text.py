"""Format the record of a cascade as text."""

from typing import TYPE_CHECKING

from edgecnn.cli.output import columns, counted, number
from edgecnn.runtime.rates import percent

if TYPE_CHECKING:
    from edgecnn.bundle.cascade_record import CascadeRecord
    from edgecnn.bundle.proof import EngineProof


def cascade_lines(found: "CascadeRecord", engines: "tuple[EngineProof, ...]") -> list[str]:
    """Return the threshold, a table of the images that run again and the agreement, and the cost.

    `engines` is the comparison on the images of the proof.
    """
    images, proven = found.choosing, {each.engine: each.comparison for each in engines}
    how = "reserved" if found.unseen == "reserved" else "stated as unseen"
    rows = []
    for each in found.engines:
        agreed = percent(1 - each.differing / each.images)
        rows += [
            (each.engine, "bound", f"{each.images:,}", percent(each.again / each.images), agreed),
            (
                "",
                "test",
                f"{each.test_images:,}",
                percent(each.test_again / each.test_images),
                percent(proven[each.engine].agreement),
            ),
        ]
    table = columns([("engine", "images", "", "run again", "agreement"), *rows], right=(2, 3, 4))
    return [
        f"an image runs again below a margin of {number(found.threshold)}, chosen on "
        f"{counted(images.images, 'image')} of {images.source}, {images.split} ({how}), on which the fast graph "
        f"alone agrees on {percent(found.fast_agreement)}",
        *table.splitlines(),
        f"agreement at least {percent(1 - found.max_disagreement)} with 95 % confidence, "
        f"{percent(found.min_agreement)} needed",
        _cost(found),
    ]


def _cost(found: "CascadeRecord") -> str:
    cost = found.cost
    if cost is None:
        return "cost: unknown, the machine was busy"
    return (
        f"cost on {cost.engine}, {counted(cost.threads, 'thread')}: {number(cost.expected_ms)} ms per image, "
        f"{cost.expected_ms / cost.fast_ms:.2f} × the time of the fast graph ({number(cost.fast_ms)} ms), "
        f"{cost.accurate_ms / cost.expected_ms:.2f} × as fast as the accurate graph ({number(cost.accurate_ms)} ms)"
    )
