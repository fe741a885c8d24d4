"""Answers of users are read from CSV and npz files, and unusable files are rejected with one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecnn.bundle.manifest import Scores
from edgecnn.errors import AnswersError, UsageError
from edgecnn.pipeline.checking.answers import Answers, read_answers

LABELS = ("cat", "dog", "réd")
SOFTMAX, SIGMOID = Scores(), Scores("sigmoid")
MULTI = Scores("sigmoid", multi_label=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"an image")
    return tmp_path


@pytest.fixture
def read(folder: Path) -> Callable[..., Answers]:
    def from_text(text: str, scores: Scores = SOFTMAX, labels: tuple[str, ...] = LABELS) -> Answers:
        (folder / "answers.csv").write_text(text)
        return read_answers(folder / "answers.csv", labels, scores)

    return from_text


@pytest.fixture
def read_arrays(folder: Path) -> Callable[..., Answers]:
    def from_arrays(names: tuple[str, ...] = LABELS, **arrays: object) -> Answers:
        np.savez(folder / "answers.npz", **{name: np.asarray(value) for name, value in arrays.items()})
        return read_answers(folder / "answers.npz", names, SOFTMAX)

    return from_arrays


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,dog\nb.png,réd\n",
        "label;path\n1;a.png\n2;b.png\n",
        "path\tlabel\r\na.png\tdog\r\n\r\nb.png\tre\u0301d\r\n",
        "\ufeffpath,label\na.png, dog \nb.png,2\n",
    ],
)
def test_reads_labels(read: Callable[..., Answers], folder: Path, text: str):
    found = read(text)
    assert found.kind == "labels"
    assert found.values.tolist() == [1, 2]
    assert found.paths == (folder / "a.png", folder / "b.png")


def test_tells_probabilities_and_logits_apart(read: Callable[..., Answers]):
    found = read("path,dog,réd,cat\na.png,0.2,0.1,0.7\nb.png,0.5,0.25,0.25\n")
    assert (found.kind, found.values.tolist()) == ("probabilities", [[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])
    assert read("path,0,1,2\na.png,0.2,0.1,0.1\n").kind == "logits"
    assert read("path,0,1,2\na.png,0.2,0.1,0.1\n", SIGMOID).kind == "probabilities"
    assert read("path,0,1,2\na.png,-3,0.1,7\n", MULTI).kind == "logits"


def test_expands_one_value_of_two_classes(read: Callable[..., Answers], read_arrays: Callable[..., Answers]):
    labels = ("no", "yes")
    assert read("path,yes\na.png,0.75\n", labels=labels).values.tolist() == [[0.25, 0.75]]
    assert read("path,yes\na.png,-3\n", labels=labels).values.tolist() == [[0, -3]]
    assert read_arrays(labels, paths=["a.png"], logits=[2.0]).values.tolist() == [[0, 2]]


def test_reads_arrays(read_arrays: Callable[..., Answers]):
    assert read_arrays(paths=["a.png", "b.png"], labels=[1, 2]).values.tolist() == [1, 2]
    assert read_arrays(paths=["a.png"], labels=["dog"]).values.tolist() == [1]
    assert read_arrays(paths=["a.png"], probabilities=np.float16([[0.5, 0.25, 0.25]])).kind == "probabilities"
    assert read_arrays(paths=["a.png"], logits=[[5, 1, 2]]).values.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("path,label\n", "has a header and no answers"),
        ("file,label\na.png,cat\n", "has the columns file, label"),
        ("path\na.png\n", "has the columns path"),
        ("path,label,label\na.png,cat,cat\n", "'label' more than once"),
        ("path,label\na.png\n", "has 1 cells in line 2, expected 2"),
        ("path,label\na.png,cat,3\n", "has 3 cells in line 2, expected 2"),
        ("path,label\na.png,bird\n", "has the labels 'bird'"),
        ("path,label\na.png,3\n", "indices from 0 to 2"),
        ("path,label\na.png,\n", "has the labels ''"),
        ("path,label\nc.png,cat\n", "names 1 of 1 images that do not exist (c.png)"),
        ("path,label\n.,cat\n", "do not exist"),
        ("path,label\n" + "x" * 300 + ",cat\n", "do not exist"),
        ('path,label\n"a.png,cat\n', "is not a CSV file"),
        ("path,cat,dog\na.png,1,2\n", "no column for réd"),
        ("path,cat,dog,bird\na.png,1,2,3\n", "unknown columns bird"),
        ("path,label,cat,dog,réd\na.png,cat,1,2,3\n", "the column `label` and columns of classes"),
        ("path,cat,dog,réd\na.png,1,2,x\n", "has 'x' in line 2"),
        ("path,cat,dog,réd\na.png,1,2,\n", "has '' in line 2"),
        ("path,cat,dog,réd\na.png,1,2,nan\n", "not finite, for image 1"),
        ("path,cat,dog,réd\na.png,1,2,inf\n", "not finite, for image 1"),
        ("[1, 2]", "has the columns"),
    ],
)
def test_rejects_text(read: Callable[..., Answers], text: str, says: str):
    with pytest.raises(AnswersError) as caught:
        read(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rejects_one_label_for_several(read: Callable[..., Answers]):
    with pytest.raises(AnswersError, match="give probabilities"):
        read("path,label\na.png,cat\n", MULTI)


def test_rejects_a_name_of_several_classes(read: Callable[..., Answers]):
    with pytest.raises(AnswersError, match="use indices"):
        read("path,label\na.png,cat\n", labels=("cat", "cat"))
    assert read("path,label\na.png,1\n", labels=("cat", "cat")).values.tolist() == [1]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"paths": ["a.png"]}, "has the arrays paths"),
        ({"logits": [[1, 2, 3]]}, "has the arrays logits"),
        ({"paths": ["a.png"], "logits": [[1, 2, 3]], "labels": [1]}, "one of `labels`, `logits` and `probabilities`"),
        ({"paths": [], "labels": []}, "`paths` must be strings"),
        ({"paths": [b"a.png"], "labels": [1]}, "`paths` must be strings"),
        ({"paths": ["a.png", "b.png"], "labels": [1]}, "has 2 paths and 1 labels"),
        ({"paths": ["a.png"], "labels": [[1]]}, "`labels` must be names or indices"),
        ({"paths": ["a.png"], "labels": [1.0]}, "`labels` must be names or indices"),
        ({"paths": ["a.png"], "labels": [3]}, "has the labels '3'"),
        ({"paths": ["a.png"], "labels": [-1]}, "has the labels '-1'"),
        ({"paths": ["a.png"], "logits": [[1, 2]]}, "has 2 values for each image, the network has 3 classes"),
        ({"paths": ["a.png"], "logits": [[[1, 2, 3]]]}, "must be numbers [N, K]"),
        ({"paths": ["a.png"], "logits": [["1", "2", "3"]]}, "must be numbers [N, K]"),
        ({"paths": ["a.png"], "logits": [[1, np.nan, 3]]}, "not finite"),
        ({"paths": ["a.png"], "probabilities": [[0.5, 0.1, 0.1]]}, "sum to 0.7 for image 1"),
        ({"paths": ["a.png"], "probabilities": [[1, 2, 3]]}, "outside 0..1"),
        ({"paths": np.array(["a.png"], object), "labels": [1]}, "Python objects, which are not loaded"),
    ],
)
def test_rejects_arrays(read_arrays: Callable[..., Answers], arrays: dict[str, object], says: str):
    with pytest.raises(AnswersError) as caught:
        read_arrays(**arrays)
    assert says in str(caught.value)


@pytest.mark.parametrize("content", [b"PK\x03\x04 damaged", b"PK", b"\xff\xfe\x00", b"\x80\x04pickle"])
def test_rejects_damaged_files(folder: Path, content: bytes):
    (folder / "answers").write_bytes(content)
    with pytest.raises(AnswersError):
        read_answers(folder / "answers", LABELS, SOFTMAX)


@pytest.mark.parametrize("name", ["missing.csv", ".", "a\0b"])
def test_rejects_a_file_that_cannot_be_opened(folder: Path, name: str):
    with pytest.raises(UsageError, match="cannot read --expect"):
        read_answers(folder / name, LABELS, SOFTMAX)
