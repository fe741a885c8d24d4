"""The user's answers are compared with the reference under the stated preprocessing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tints import LABELS, PREPROCESSING, reference, subject, tinted

from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import AnswersError, ProofFailed
from edgecnn.pipeline.checking.comparing import compare_answers
from edgecnn.pipeline.checking.expecting import check_answers
from edgecnn.prediction import sigmoid, softmax
from edgecnn.progress import silent

BRIGHTER = replace(PREPROCESSING, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    for number, label in enumerate(LABELS * 4):
        tinted(label, 4000 + number).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def written(folder: Path) -> Callable[..., Path]:
    """Write the answers of the network under a preprocessing."""

    def write(kind: str, preprocessing: Preprocessing = PREPROCESSING, *, is_bgr: bool = False) -> Path:
        session, files = reference(preprocessing).open(), sorted(folder.glob("*.png"))
        inputs = session.inputs_of(files)
        logits = session.run_normalised(inputs[:, ::-1] if is_bgr else inputs)
        names, path = [file.name for file in files], folder / f"{kind}.csv"
        if kind == "labels":
            lines = ["path,label", *(f"{name},{LABELS[k]}" for name, k in zip(names, logits.argmax(1), strict=True))]
        elif kind == "probabilities":
            rows = softmax(logits)
            cells = (",".join(f"{value:.4f}" for value in row) for row in rows)
            lines = [",".join(["path", *LABELS]), *(f"{name},{row}" for name, row in zip(names, cells, strict=True))]
        else:
            path = folder / "logits.npz"
            np.savez(path, paths=np.array(names), logits=logits + 3)  # a constant does not change a softmax
            return path
        path.write_text("\n".join(lines))
        return path

    return write


@pytest.mark.parametrize("kind", ["labels", "probabilities", "logits"])
def test_equal_answers_are_counted(written: Callable[..., Path], kind: str):
    assert check_answers(written(kind), subject(), progress=silent) == 20


@pytest.mark.parametrize("kind", [pytest.param("labels", marks=pytest.mark.slow), "probabilities", "logits"])
def test_names_bgr_images(written: Callable[..., Path], kind: str):
    with pytest.raises(ProofFailed) as caught:
        check_answers(written(kind, is_bgr=True), subject(), progress=silent)
    assert f"the {kind} in " in str(caught.value)
    assert "of 20 images have another label" in str(caught.value)
    assert "they match with BGR images" in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_names_another_range(written: Callable[..., Path], kind: str):
    with pytest.raises(ProofFailed, match=r"of the spread .* they match with --mean 0,0,0 --std 1,1,1; no bundle"):
        check_answers(written(kind, BRIGHTER), subject(), progress=silent)


def test_rejects_a_damaged_image(folder: Path, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "answers.csv").write_text("path,label\na.png,red\n")
    with pytest.raises(AnswersError, match="names an image that cannot be read"):
        check_answers(tmp_path / "answers.csv", subject(), progress=silent)


def test_compares_sigmoids_and_several_labels():
    logits = np.float32([[2, -1, 0.5], [-3, 1, 2], [0.1, 0.2, -4]])
    for scores in (Scores("sigmoid"), Scores("sigmoid", multi_label=True)):
        same = compare_answers("probabilities", sigmoid(logits), logits, logits, scores)
        other = compare_answers("probabilities", sigmoid(-logits), logits, logits, scores)
        assert (same.holds, same.differing, other.holds, other.differing) == (True, 0, False, 3)


def test_close_decisions_may_differ():
    logits = np.float32([[2, 1.9, 0], [0, 5, 1], [5, 0, 1], [0, 1, 5]])
    labels = np.array([1, 1, 0, 2])
    assert compare_answers("labels", labels, logits, logits, Scores()).holds
    assert not compare_answers("labels", np.array([0, 0, 0, 2]), logits, logits, Scores()).holds
