"""Labels files: text and JSON in the forms that people have, and errors that name the line."""

import json
import warnings
from pathlib import Path

import pytest

from edgecnn.errors import LabelsError, LabelsWarning, UsageError
from edgecnn.pipeline.importing.labels import read_labels

TEXTS = {
    "plain": b"cat\ndog\n",
    "without a last newline": b"cat\ndog",
    "blank lines at the end": b"cat\ndog\n\n \n\r\n",
    "Windows": b"cat\r\ndog\r\n",
    "old Macintosh": b"cat\rdog\r",
    "space around names": b"cat \n\tdog\n",
    "UTF-8 with a byte-order mark": b"\xef\xbb\xbfcat\ndog\n",
    "UTF-16": "cat\ndog\n".encode("utf-16"),
    "UTF-16 big-endian": b"\xfe\xff" + "cat\r\ndog\r\n".encode("utf-16-be"),
    "UTF-32": "cat\ndog\n".encode("utf-32"),
}
DOCUMENTS = {
    "list": ["cat", "dog"],
    "id2label": {"0": "cat", "1": "dog"},
    "id2label out of order": {"1": "dog", "0": "cat"},
    "label2id": {"dog": 1, "cat": 0},
    "config.json": {"model_type": "resnet", "id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 0, "dog": 1}},
    "config.json without id2label": {"label2id": {"cat": 0, "dog": 1}},
    "class_to_idx": {"class_to_idx": {"cat": 0, "dog": 1}},
    "imagenet_class_index.json": {"0": ["n02123045", "cat"], "1": ["n02099712", "dog"]},
}


def labels_of(folder: Path, content: bytes, name: str = "labels.txt") -> tuple[str, ...]:
    path = folder / name
    path.write_bytes(content)
    return read_labels(path)


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_reads_text(content: bytes, tmp_path: Path):
    assert labels_of(tmp_path, content) == ("cat", "dog")


@pytest.mark.parametrize("name", ["labels.json", "labels.txt"])
@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_reads_json(document: object, name: str, tmp_path: Path):
    assert labels_of(tmp_path, json.dumps(document, indent=1).encode(), name) == ("cat", "dog")


def test_reads_json_with_a_byte_order_mark(tmp_path: Path):
    assert labels_of(tmp_path, b'\xef\xbb\xbf["cat", "dog"]', "labels.json") == ("cat", "dog")


def test_keeps_digits_and_brackets_as_names(tmp_path: Path):
    assert labels_of(tmp_path, b"0\n1\n2\n") == ("0", "1", "2")
    assert labels_of(tmp_path, b"[background]\ncat\n") == ("[background]", "cat")
    assert labels_of(tmp_path, b"tench, Tinca tinca\ngoldfish\n") == ("tench, Tinca tinca", "goldfish")
    assert labels_of(tmp_path, json.dumps({"0": 0, "1": 1}).encode()) == ("0", "1")


def test_normalises_to_nfc(tmp_path: Path):
    assert labels_of(tmp_path, "cafe\u0301\ndog".encode()) == ("caf\u00e9", "dog")


@pytest.mark.parametrize("content", [b"cat\ndog\ncat\n", b'["cat", "dog", "cat"]', "é\ndog\ne\u0301".encode()])
def test_warns_of_a_repeated_name(content: bytes, tmp_path: Path):
    with pytest.warns(LabelsWarning, match="more than once: '(cat|é)'$") as caught:
        assert len(labels_of(tmp_path, content)) == 3
    assert len(caught) == 1


def test_escapes_control_characters_in_messages(tmp_path: Path):
    with pytest.warns(LabelsWarning) as caught:
        labels_of(tmp_path, b"c\x1b[31mat\nc\x1b[31mat\n")
    assert "\x1b" not in str(caught[0].message)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("empty.txt", b"", "is empty"),
        ("blank.txt", b"\n \n", "is empty"),
        ("mark.txt", b"\xef\xbb\xbf\n", "is empty"),
        ("hole.txt", b"cat\n\ndog\n", "line 2"),
        ("first.txt", b"\ndog\n", "line 1"),
        ("latin.txt", b"cat\ncaf\xe9\n", r"not text in UTF-8 \(line 2\)"),
        ("utf16.txt", "cat\ndog\n".encode("utf-16-le"), "zero bytes"),
        ("cut.txt", "cat\ndog\n".encode("utf-16")[:-1], "not text in UTF-8"),
        ("table.csv", b"cat,0\ndog,1\n", "is a table"),
        ("table.tsv", b"cat\t0\ndog\t1\n", "is a table"),
        ("tabs.txt", b"cat\t0\ndog\t1\n", "more than a name"),
        ("indices.txt", b"0: cat\n1: dog\n", "more than a name"),
        ("from_one.txt", b"1,cat\n2,dog\n", "more than a name"),
        ("broken.json", b'["cat", ', "not valid JSON"),
        ("number.json", b"3", "does not contain class names"),
        ("numbers.json", b"[0, 1]", "does not contain class names"),
        ("nothing.json", b"[]", "does not contain class names"),
        ("object.json", b"{}", "does not contain class names"),
        ("objects.json", b'[{"id": 0, "name": "cat"}]', "does not contain class names"),
        ("mixed.json", b'{"0": "cat", "dog": 1}', "does not contain class names"),
        ("hole.json", b'["cat", ""]', "no name for the class 1"),
        ("gap.json", b'{"0": "cat", "2": "dog"}', "each index from 0 to 1 once, found 2"),
        ("from_one.json", b'{"1": "cat", "2": "dog"}', "each index from 0 to 1 once, found 1"),
        ("twice.json", b'{"cat": 0, "dog": 0}', "each index from 0 to 1 once, found 0"),
        ("half.json", rb'["\ud800", "dog"]', "half a character"),
        ("deep.json", b"[" * 100_000, "not valid JSON"),
    ],
)
def test_rejects_other_content(name: str, content: bytes, named: str, tmp_path: Path):
    with pytest.raises(LabelsError, match=named) as raised:
        labels_of(tmp_path, content, name)
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["nowhere.txt", ".", "zero\0byte"])
def test_rejects_a_path_that_is_not_a_file(name: str, tmp_path: Path):
    with pytest.raises(UsageError, match="cannot read --labels"):
        read_labels(tmp_path / name)


def test_reads_many_names_quietly(tmp_path: Path):
    names = [f"class {index} 😀" for index in range(1000)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert labels_of(tmp_path, "\n".join(names).encode()) == tuple(names)
