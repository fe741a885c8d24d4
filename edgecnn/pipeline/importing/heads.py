"""How the outputs of a network from elsewhere become scores, and the names of its classes."""

from pathlib import Path

from edgecnn.bundle.manifest import Scores
from edgecnn.errors import CheckpointError, UsageError
from edgecnn.pipeline.importing.options import WeightsOptions


def is_one_sigmoid(options: WeightsOptions, outputs: int) -> bool:
    """Return whether the network has one output, the logit z of a yes-or-no answer.

    Its bundle has the two logits (0, z). Their softmax is (1 - sigmoid(z), sigmoid(z)).
    """
    return outputs == 1 and options.scores != "multi-label"


def scores_of(options: WeightsOptions, outputs: int) -> Scores:
    """Return how the logits of the bundle become scores. See also `is_one_sigmoid`.

    Args:
        options: the user's options.
        outputs: number of outputs of the network.

    Raises:
        UsageError: `--scores` or `--threshold` does not fit the network.
    """
    if options.threshold is not None and options.scores != "multi-label":
        raise UsageError("--threshold is for --scores multi-label, which is missing: add it, or remove --threshold")
    if options.scores == "multi-label":
        threshold = 0.5 if options.threshold is None else options.threshold
        if not 0 < threshold < 1:
            raise UsageError(f"--threshold must be between 0 and 1, found {threshold:g}")
        return Scores("sigmoid", multi_label=True, threshold=threshold)
    if options.scores == "softmax" and outputs == 1:
        raise UsageError("the softmax of one output is always 1: use --scores sigmoid")
    if options.scores == "sigmoid" and outputs > 1:
        return Scores("sigmoid")
    return Scores()


def labels_of(options: WeightsOptions, outputs: int, weights: Path | str) -> tuple[str, ...]:
    """Return the class names from the options, or the indices.

    One sigmoid has two classes. Its labels are two names, the positive answer last, or the name X of the positive
    answer, which becomes `not X` and `X`.

    Args:
        options: the user's options.
        outputs: number of outputs of the network.
        weights: the weights, for messages.

    Raises:
        UsageError: the number of names differs from the number of classes.
        CheckpointError: the network has no output.
    """
    if outputs < 1:
        raise CheckpointError(f"{weights} has no class: expected at least one output")
    is_binary = is_one_sigmoid(options, outputs)
    classes = 2 if is_binary else outputs
    labels = options.labels
    if labels is None:
        return tuple(str(index) for index in range(classes))
    if is_binary and len(labels) == 1:
        return f"not {labels[0]}", labels[0]
    if len(labels) != classes:
        names = "1 name" if len(labels) == 1 else f"{len(labels)} names"
        has = "1 class" if classes == 1 else f"{classes} classes"
        raise UsageError(
            f"{options.labels_from} has {names}, {weights} has {has}: expected one name for each class, in the order "
            f"of the network's outputs"
        )
    return labels
