"""`edgecnn learn`: write the site of pages about convolutional networks."""

from pathlib import Path

import click

from edgecnn.cli.options import force_option, json_option, language_option, out_option
from edgecnn.cli.output import emit
from edgecnn.pages.page import LanguageChoice


@click.command()
@out_option("The folder to write.")
@language_option
@click.option("--open", "opens", is_flag=True, help="Open the index in the browser.")
@force_option
@json_option
def learn(out: Path, language: LanguageChoice, opens: bool, force: bool, as_json: bool) -> None:
    """Write pages that show what the layers of convolutional networks compute.

    Each page has one topic, such as convolution, pooling or softmax. The reader changes numbers, and the page computes
    the result in the browser, equal to PyTorch. The pages open from disk and send no request. `edgecnn serve` has the
    same pages under /learn.
    """
    from edgecnn.learning.site import write_site

    index, *chapters = write_site(out, language, force=force)
    result = {"index": str(index), "pages": [str(path) for path in (index, *chapters)]}
    emit(result, f"{index}\n  {len(chapters)} chapters; open the file in a browser", as_json=as_json)
    if opens:
        click.launch(index.resolve().as_uri())
