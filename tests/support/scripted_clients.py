"""A client of scripted servers that does not rest long between its attempts."""

import contextlib
from collections.abc import Iterator

from scripted_server import Model, Site, site

from edgecnn import Client, Retries

QUICK = Retries(first_rest_s=0.001, longest_rest_s=0.01)


@contextlib.contextmanager
def asking(*models: Model | str, **options: object) -> Iterator[tuple[Client, list[Site]]]:
    with contextlib.ExitStack() as stack:
        sites = [stack.enter_context(site(model)) for model in models if isinstance(model, Model)]
        rest = iter(sites)
        urls = [model if isinstance(model, str) else next(rest).url for model in models]
        yield stack.enter_context(Client(urls, **({"retries": QUICK} | options))), sites  # type: ignore[arg-type]
