"""CSV files of images with several labels."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_tables import write_lines
from PIL import Image

from edgecnn.errors import SourceError
from edgecnn.pipeline.data.source import Split, is_test
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.data.table import LabelTable

HEADER = "path,cat,dog"


def add(folder: Path, count: int, mode: str = "L") -> list[str]:
    """Write noise images, and return their paths relative to the folder."""
    generator = np.random.default_rng(0)
    (folder / "images").mkdir(exist_ok=True)
    names = [f"images/{number}.png" for number in range(count)]
    for name in names:
        Image.fromarray(generator.integers(0, 256, (4, 5, 3), dtype=np.uint8)).convert(mode).save(folder / name)
    return names


def table(folder: Path, *lines: str, header: str = HEADER) -> LabelTable:
    return LabelTable(write_lines(folder / "labels.csv", [header, *lines]))


def names(split: Split) -> list[str]:
    return [split.name_of(index) for index in range(len(split))]


def refused(folder: Path, content: bytes | str) -> str:
    """Return the error message for a file, and check that it is one line that names the file."""
    path = folder / "labels.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SourceError) as raised:
        LabelTable(path)
    assert "\n" not in str(raised.value)
    return str(raised.value).removeprefix(str(path))


def test_reads_paths_and_labels(tmp_path: Path):
    one, two, three = add(tmp_path, 3)
    found = table(tmp_path, f"{one},1,0,test", f"{two},1,1,train", f" {three} , 0, 0,test", header=f"{HEADER},split")
    assert (found.name, found.labels, found.mode) == ("labels.csv", ("cat", "dog"), "L")
    split = found.split("test")
    assert names(split) == [one, three]
    assert split.targets is not None
    assert split.targets.dtype == np.int64
    assert split.targets.tolist() == [[1, 0], [0, 0]]
    assert split.has_several_labels
    assert names(found.split("train")) == [two]


def test_splits_by_content_without_a_column(tmp_path: Path):
    found = table(tmp_path, *(f"{name},1,0" for name in add(tmp_path, 40)))
    train, test = found.split("train"), found.split("test")
    assert len(train) + len(test) == 40
    assert 0 < len(test) < len(train)
    assert not {*names(train)} & {*names(test)}


def test_accepts_what_spreadsheets_write(tmp_path: Path):
    one, two = add(tmp_path, 2)
    path = tmp_path / "LABELS.CSV"
    path.write_bytes(f'\ufeffpath,"a, b",split\r\n{one},1,train\r\n\r\n"{two}",0,test\r\n,,\r\n'.encode())
    found = open_source(str(path))
    assert found.labels == ("a, b",)
    assert names(found.split("test")) == [two]


def test_paths_may_lead_out_of_the_folder(tmp_path: Path):
    (one,) = add(tmp_path, 1)
    inner = tmp_path / "tables"
    inner.mkdir()
    assert names(table(inner, f"../{one},1,0,test", header=f"{HEADER},split").split("test")) == [f"../{one}"]
    absolute = table(inner, f"{tmp_path / one},1,0,test", header=f"{HEADER},split").split("test")
    assert not names(absolute)[0].startswith("/")


def test_reads_colour(tmp_path: Path):
    assert table(tmp_path, *(f"{name},1,0" for name in add(tmp_path, 2, "RGB"))).mode == "RGB"


def test_names_the_missing_split(tmp_path: Path):
    (one,) = add(tmp_path, 1)
    with pytest.raises(SourceError, match=r"labels\.csv has no test images: write test in the column split"):
        table(tmp_path, f"{one},1,0,train", header=f"{HEADER},split").split("test")
    missing = "train" if is_test(hashlib.sha256((tmp_path / one).read_bytes()).digest()) else "test"
    with pytest.raises(SourceError, match=f"too few for a {missing} split: add more, or a column split"):
        table(tmp_path, f"{one},1,0").split(missing)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ", line 1: expected the header path,LABEL,LABEL,… and 0 or 1 in each cell, found ''"),
        ("\n , \n", ", line 1: expected the header"),
        ("path\n", ", line 1: expected the header path,LABEL,LABEL,… and 0 or 1 in each cell, found 'path'"),
        ("path;cat;dog\n", ", line 1: expected the header path,LABEL,LABEL,… and 0 or 1 in each cell, found 'path;ca"),
        ("file,cat\na.png,1\n", ", line 1: expected the header"),
        ("path,split\n", " in each cell, found no label"),
        ("path,cat,\n", ", line 1: column 3 has no name"),
        ('path,"c\nat"\n', ", line 2: column 2 has a name with control characters"),
        ("path,cat,cat\n", ", line 1: several columns have the name cat: give each label its own name"),
        ("path,cafe\u0301,caf\u00e9\n", ", line 1: several columns have the name caf\u00e9"),
        ("path,path\n", ", line 1: several columns have the name path"),
        ("path,cat\n", " has no images: expected a path and the labels of one image in each line"),
        ("path,cat\nimages/0.png\n", ", line 2: expected 2 cells as in the header, found 1"),
        ("path,cat\nimages/0.png,1,0\n", ", line 2: expected 2 cells as in the header, found 3"),
        ("path,cat\nimages/0.png,yes\n", ", line 2: expected 0 or 1 in the column cat, found 'yes'"),
        ("path,cat\nimages/0.png,2\n", ", line 2: expected 0 or 1 in the column cat, found '2'"),
        ("path,cat\nimages/0.png,\n", ", line 2: expected 0 or 1 in the column cat, found ''"),
        ("path,cat\nimages/0.png,\u0661\n", ", line 2: expected 0 or 1 in the column cat, found '\u0661'"),
        ("path,cat\n,1\n", ", line 2: expected the path of an image, found nothing"),
        ("path,cat\nnowhere.png,1\n", ", line 2: '"),
        ("path,cat\nimages,1\n", " is not a file"),
        (f"path,cat\n{'x' * 5000}.png,1\n", " is not a file"),
        ("path,cat\nimages/0.png,1\n./images/0.png,0\n", ", line 3: '"),
        ("path,cat,split\nimages/0.png,1,val\n", ", line 2: expected train or test in the column split, found 'val'"),
        ('path,cat\n"images/0.png,1\n', ", line 2: it is not valid CSV (unexpected end of data)"),
        (f"path,cat\n{'x' * 200_000},1\n", "it is not valid CSV (field larger than field limit"),
        (b"path,cat\n\xff\xfe,1\n", " is not text in UTF-8: save it as UTF-8"),
        ("path,cat\n".encode("utf-16"), " is not text in UTF-8: save it as UTF-8"),
        (b"path,cat\nimages/0\0.png,1\n", " has zero bytes: save it as UTF-8"),
    ],
)
def test_names_the_fault(content: bytes | str, message: str, tmp_path: Path):
    add(tmp_path, 1)
    assert message in refused(tmp_path, content)


def test_names_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(SourceError, match=r"cannot read .*: No such file or directory"):
        LabelTable(tmp_path / "none.csv")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(st.sampled_from('path,cat\n\r"01;\ufeff\0é \t'), max_size=60) | st.binary(max_size=60))
def test_any_content_is_read_or_refused_in_one_line(content: str | bytes, tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    message = ""
    try:
        LabelTable(path)
    except SourceError as error:
        message = str(error)
    assert "\n" not in message
