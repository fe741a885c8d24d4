"""The page "Inside the network": one file that shows an explanation."""

from edgecnn.explaining.explanation import Explanation
from edgecnn.files.schema import plain
from edgecnn.pages.page import LanguageChoice, Page, render


def explain_page(explanation: Explanation, language: LanguageChoice = "auto") -> Page:
    """Return the page that shows an explanation.

    Args:
        explanation: what a bundle computes for one image.
        language: language of the page; `auto` is the browser's.
    """
    return render(
        "edgecnn.explaining",
        "explain.html",
        scripts=("explain.js",),
        styles=("inside.css",),
        language=language,
        data=plain(explanation),
        charts=True,
    )
