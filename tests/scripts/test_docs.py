"""The pages of the documentation: notebooks become pages, and links to them lead there."""

import re

from scripts.docs import linked_to_pages, notebook_page, notebooks


def test_a_page_has_the_text_and_the_code_of_its_notebook():
    tour = next(path for path in notebooks() if path.stem == "tour")
    text = notebook_page(tour)
    assert text.startswith("# The tour")
    assert "[Download this notebook](tour.ipynb)" in text
    assert "[your own photos](photos.md)" in text
    assert "edgecnn.train(" in "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


def test_links_to_notebooks_lead_to_their_pages():
    text = "[a](../notebooks/tour.ipynb) [b](https://example.com/x.ipynb) `x.ipynb`"
    assert linked_to_pages(text) == text.replace("tour.ipynb", "tour.md")
