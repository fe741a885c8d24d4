"""What a bundle costs in answers, by its own sealed proof."""

from edgecnn.bundle.store import Bundle


def drop_points(bundle: Bundle, engine: str) -> float:
    """Return by how many points a bundle's top-1 is below the reference's, negative where it is above.

    That of the engine that it would run on; of another one, the worst, where the proof does not name it. Where nobody
    knew the targets, every answer that is not the reference's counts as lost. An FP32 bundle was proven to answer as the
    reference does.
    """
    if bundle.manifest.precision == "fp32":
        return 0.0
    proofs = bundle.proof().engines
    chosen = [proof for proof in proofs if proof.engine == engine] or proofs
    drops = [
        1 - found.agreement if found.top1 is None or found.reference_top1 is None else found.reference_top1 - found.top1
        for found in (proof.comparison for proof in chosen)
    ]
    return 100 * max(drops)
