"""Renders a page from a package's template: one file without external resources, or a page of the server.

Both forms have the same content. The page of one file contains its styles, scripts and data, and a content security
policy that allows no request to any host. A page of the server links its styles and scripts in the folder `web/`, whose
files `static_files` lists; a policy without inline scripts applies to it.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

from edgecnn.pages.linking import joined
from edgecnn.pages.words import COMMON, LANGUAGES, Language, catalogue, filled, sources

LanguageChoice = Literal["auto", "en", "zh"]
"""`auto`: the browser's language. The reader can change the language of a page in any case."""

LANGUAGE_CHOICES: tuple[LanguageChoice, ...] = ("auto", *LANGUAGES)
_CHARTS, _CHART_STYLES = "uPlot.iife.min.js", "uPlot.min.css"


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        html: the whole document.
        policy: its content security policy, for the header of a server that sends the document.
    """

    html: str
    policy: str


def render(
    package: str,
    template: str,
    *,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    language: LanguageChoice = "auto",
    data: object = None,
    charts: bool = False,
    live: bool = False,
    **values: object,
) -> Page:
    """Render a template as a page of one file.

    Args:
        package: the package with the folders `templates`, `static` and `words`; see `words.sources`.
        template: file name in `templates`; it extends `base.html`.
        scripts: file names of JavaScript modules in `static`; they run after the page is parsed.
        styles: file names of style sheets in `static`, after the shared ones.
        language: language of the page.
        data: JSON content for the scripts, which read it with `pageData()` of `page.js`.
        charts: whether the scripts draw charts (`charts.js`).
        live: whether the scripts fetch from the server that sends the page.
        **values: variables of the template.
    """
    read = partial(_static, package)
    sheets = [*([_CHART_STYLES] if charts else []), "base.css", "page.css", *styles]
    program = joined(("page.js", *scripts), read)
    library = read(_CHARTS) if charts else ""
    hashes = " ".join(_hash(script) for script in (library, program) if script)
    policy = f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"
    policy += "; connect-src 'self'" if live else ""
    document = _rendered(
        package,
        template,
        language,
        data,
        values | {"policy": policy, "style": "\n".join(map(read, sheets)), "library": library, "program": program},
    )
    return Page(document, policy)


def render_linked(
    package: str,
    template: str,
    *,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    data: object = None,
    **values: object,
) -> str:
    """Render a template as a page of the server, which links its scripts and styles in `web/`; see `render`."""
    links = {"linked_styles": ("base.css", "page.css", *styles), "linked_scripts": ("page.js", *scripts)}
    return _rendered(package, template, "auto", data, values | links)


def static_files(*packages: str) -> Iterator[Traversable]:
    """Yield the files in `static` of the common package and of other ones, and of their subfolders."""
    for package in (COMMON, *packages):
        yield from _files(files(package) / "static")


def _files(folder: Traversable) -> Iterator[Traversable]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _files(each)
        else:
            yield each


def _static(package: str, name: str) -> str:
    """Return a file in `static` of the package or of the packages around it."""
    for file in static_files(*sources(package)[1:]):
        if file.name == name:
            return file.read_text(encoding="utf-8")
    raise FileNotFoundError(f"{package} has no static file {name}")


def _rendered(package: str, template: str, choice: LanguageChoice, data: object, values: dict[str, Any]) -> str:
    from markupsafe import Markup

    language: Language = "en" if choice == "auto" else choice
    texts = {each: catalogue(package, each) for each in LANGUAGES}

    def text(key: str, /, **parts: object) -> Any:
        return Markup(filled(texts[language][key], parts))  # noqa: S704 - the texts are edgecnn's, and escape values

    def t(key: str, /, **parts: object) -> Any:
        given = Markup(' data-values="{}"').format(json.dumps(parts)) if parts else ""
        span = Markup('<span data-t="{}"{}>{}</span>')
        return span.format(key, given, text(key, **parts))

    blocks = {"words": _json(texts), "data": _json(data)}
    found = _environment(package).get_template(template)
    return found.render(**values, **blocks, t=t, text=text, language=language, choice=choice)  # type: ignore[no-any-return]


@cache
def _environment(package: str) -> Any:
    """Return the environment that compiles the templates of a package, each once."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([_template_files(each) for each in reversed(sources(package))]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template_files(package: str) -> Any:
    """Return a loader of a package's templates."""
    import jinja2

    def load(name: str) -> str | None:
        file = files(package) / "templates" / name
        return file.read_text(encoding="utf-8") if file.is_file() else None

    return jinja2.FunctionLoader(load)


def _json(value: object) -> str:
    """Return JSON for a script element, which ends at `</script`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    """Return a script's source expression (Content Security Policy Level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
