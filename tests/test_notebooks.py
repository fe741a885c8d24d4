"""The notebooks: committed without results, and they run."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tints import write_tints

from scripts.docs import notebooks

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOKS = notebooks()
NAVIGATION = (Path(__file__).parents[1] / "mkdocs.yml").read_text()

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def texts(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def test_there_are_three_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["own-network", "photos", "tour"]


@every_notebook
def test_is_valid_and_has_no_results(path: Path):
    import nbformat

    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)
    assert notebook.metadata.keys() == {"kernelspec", "language_info"}
    assert [cell.metadata.get("tags") for cell in code] == [["parameters"], *[None] * (len(code) - 1)]


@every_notebook
def test_begins_with_its_title_and_is_in_the_navigation(path: Path):
    first, *others = texts(path, "markdown")
    assert first.startswith("# ")
    assert not any(re.search(r"^# ", text, re.MULTILINE) for text in others)
    assert f"docs/notebooks/{path.stem}.md\n" in NAVIGATION


@every_notebook
def test_code_is_python_without_magics(path: Path):
    for number, code in enumerate(texts(path, "code")):
        compile(code, f"{path.name}, code cell {number}", "exec")


@every_notebook
def test_local_links_exist(path: Path):
    links = re.findall(r"\]\(([^)#\s]+)", "\n".join(texts(path, "markdown")))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


@every_notebook
def test_lines_have_at_most_120_characters(path: Path):
    lines = "\n".join(texts(path, "markdown") + texts(path, "code")).splitlines()
    assert [line for line in lines if len(line) > 120] == []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder; keep the files of Jupyter out of the user's home folder."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    place = tmp_path / "place"
    place.mkdir()
    return place


def run(name: str, place: Path, parameters: str = "") -> str:
    """Run a notebook in a folder, with other parameters after its first code cell; return its outputs as text."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(next(path for path in NOTEBOOKS if path.stem == name), 4)
    first = next(number for number, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    notebook.cells.insert(first + 1, nbformat.v4.new_code_cell(parameters))
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(place)}}).execute()
    return "\n".join(outputs(notebook))


def outputs(notebook: "NotebookNode") -> list[str]:
    found = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    errors = [each.text for each in found if each.output_type == "stream" and each.name == "stderr"]
    assert errors == []
    data = [each.data for each in found if each.output_type != "stream"]
    return [each.text for each in found if each.output_type == "stream"] + [
        each.get("text/html", each.get("text/plain", "")) for each in data
    ]


@pytest.mark.slow
def test_the_tour_runs(place: Path):
    shown = run("tour", place)
    assert "lenet, image 32 × 32 × 1" in shown
    assert "Verification: the proof holds" in shown
    assert "images/s" in shown
    assert " dB<" in shown
    results = {"lenet", "lenet-fp32", "lenet-int8", "least-certain.html"}
    assert {each.name for each in (place / "build" / "tour").iterdir()} == results


@pytest.mark.slow
def test_own_photos_run(place: Path):
    folder = write_tints(place / "colors", train=40)
    shown = run("photos", place, f"photos = Path({str(folder)!r})\nnetwork, epochs = 'lenet', 10")
    assert "280 photos" in shown
    assert "epoch 10 of 10" in shown
    assert "Verification: the proof holds" in shown


@pytest.mark.slow
def test_photos_that_are_missing_give_one_line(place: Path):
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError, match=r"expected photos in .*photos, found none: set photos"):
        run("photos", place)


@pytest.mark.slow
def test_an_own_network_runs(place: Path):
    shown = run("own-network", place)
    assert "of 397 other digits are right" in shown
    assert "as dense" in shown
    assert "Verification: the proof holds" in shown
