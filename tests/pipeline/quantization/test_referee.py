"""The decision about a drop: it needs evidence in both directions, and no more images than the evidence needs."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.pipeline.quantization.referee import Judged, Referee

TRIED = 2
"""Column of the second network's logits; see `network`."""


def network(column: int) -> onnx.ModelProto:
    """Return a graph whose two logits are two columns of its images."""
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["floats", "start", "end", "axis"], ["two"]),
        helper.make_node("Flatten", ["two"], ["logits"]),
    ]
    constants = {"start": [column], "end": [column + 2], "axis": [2]}
    initializers = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 1, 4, 1]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


class Images:
    """Images of two networks' logits. Class 0 is right, and the images count how many were read."""

    def __init__(self, reference: np.ndarray, tried: np.ndarray) -> None:
        """Args: which answers are right, bool [N]."""
        pixels = np.stack([reference, ~reference, tried, ~tried], axis=1)
        self._pixels = pixels.astype(np.uint8).reshape(-1, 1, 4, 1)
        self.read = 0

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, part: slice, /) -> np.ndarray:
        found = self._pixels[part]
        self.read += len(found)
        return found


def images(count: int, *, lost: tuple[int, ...] = (), won: tuple[int, ...] = ()) -> Images:
    """Return images of which those at the given places are lost or won, and all others are right."""
    reference, tried = np.full(count, True), np.full(count, True)
    tried[list(lost)] = False
    reference[list(won)] = False
    return Images(reference, tried)


def judged(given: Images, *, limit: float, min_agreement: float | None = None) -> Judged:
    referee = Referee(network(0), given, np.zeros(len(given), np.int64), limit=limit, min_agreement=min_agreement)
    return referee.judge(network(TRIED))


def test_passes_without_a_difference_on_enough_images():
    found = judged(images(4000), limit=0.001)
    assert found.verdict == "passes"
    assert (found.drop.images, found.drop.lost, found.drop.won) == (4000, 0, 0)


def test_one_image_of_200_decides_nothing():
    found = judged(images(200, lost=(7,)), limit=0.001)
    assert found.verdict == "undecided"
    assert found.drop.low < 0.001 < found.drop.high


def test_equal_answers_on_few_images_decide_nothing():
    assert judged(images(200), limit=0.001).verdict == "undecided"


def test_a_clear_failure_needs_the_first_images_only():
    given = images(4000, lost=tuple(range(0, 4000, 5)))
    found = judged(given, limit=0.001)
    assert (found.verdict, found.drop.images) == ("fails", 250)
    assert given.read == 2 * 250  # once for each network
    assert len(found.answers) == 250


def test_takes_more_images_until_it_is_decided():
    given = images(4000)
    found = judged(given, limit=0.02)
    assert (found.verdict, found.drop.images) == ("passes", 1000)
    assert given.read == 2 * 1000


def test_a_failure_at_the_end_is_found():
    found = judged(images(1000, lost=tuple(range(700, 760))), limit=0.001)
    assert (found.verdict, found.drop.images, found.drop.lost) == ("fails", 1000, 60)


def test_agreement_counts_every_changed_answer():
    assert judged(images(200, lost=(1, 2), won=(3, 4)), limit=0.5).agreement == pytest.approx(0.98)


def test_looks_further_until_the_agreement_is_decided():
    given = images(4000, lost=tuple(range(0, 4000, 100)), won=tuple(range(50, 4000, 100)))
    assert judged(given, limit=0.5).drop.images == 250
    assert judged(given, limit=0.5, min_agreement=0.9).drop.images == 250
    assert judged(given, limit=0.5, min_agreement=0.98).drop.images == 4000  # the true agreement is never decided


def test_compares_with_the_reference_without_targets():
    given = images(300, won=tuple(range(30)))
    referee = Referee(network(0), given, None, limit=0.001)
    assert referee.judge(network(TRIED)).drop.lost == 30
    assert list(referee.expected(31)) == [1] * 30 + [0]


def test_returns_the_regained_drop():
    given = images(300, lost=tuple(range(30)))
    referee = Referee(network(0), given, None, limit=0.001)
    base = referee.judge(network(TRIED))
    assert referee.regained(network(0), base.answers[:100]).drop == pytest.approx(0.3)
    assert isinstance(referee.regained(network(TRIED), base.answers), PairedDrop)
    assert referee.regained(network(TRIED), base.answers).drop == 0


@pytest.mark.slow
def test_repeated_looks_rarely_decide_wrongly():
    """If the true drop equals the limit, either decision is an error. Each has a probability of at most 2.75 %."""
    random, verdicts = np.random.default_rng(0), []
    for _ in range(300):
        right = random.random((2, 2000)) < [[0.96], [0.94]]
        verdicts.append(judged(Images(*right), limit=0.02).verdict)
    assert verdicts.count("passes") <= 15
    assert verdicts.count("fails") <= 15
    assert verdicts.count("undecided") > 250


def test_compares_whole_sets_of_labels():
    given = images(300, lost=(3, 5), won=(7,))
    targets = np.tile([1, 0], (300, 1))
    scores = Scores("sigmoid", multi_label=True, threshold=0.6)
    referee = Referee(network(0), given, targets, limit=0.001, scores=scores)
    found = referee.judge(network(TRIED))
    assert (found.drop.images, found.drop.lost, found.drop.won) == (300, 2, 1)
    assert found.answers.shape == (300, 2)
    assert found.answers.dtype == bool
    agreed = Referee(network(0), given, None, limit=0.001, scores=scores).judge(network(TRIED))
    assert (agreed.drop.lost, agreed.drop.won) == (3, 0)
