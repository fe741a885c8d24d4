"""The `oip-conformance` command."""

import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Any

import click

from oip_conformance import __version__
from oip_conformance.answer import one_line
from oip_conformance.case import Outcome, Topic
from oip_conformance.cases import TOPICS
from oip_conformance.connection import Client, parse_url
from oip_conformance.discovery import discover
from oip_conformance.errors import NotConformant, UsageError
from oip_conformance.suite import Report, run

_SHOWN: dict[Outcome, str] = {"pass": "pass", "fail": "FAIL", "not applicable": "n.a."}
_LONGEST_KEY = 4096


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("url", required=False)
@click.option("--model", help="Model to test. [default: the only one that is ready]")
@click.option(
    "--timeout-s", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds for a request."
)
@click.option("--api-key-file", type=click.Path(path_type=Path), help="File that contains the server's API key.")
@click.option("--ca", type=click.Path(path_type=Path), help="PEM file with the CA certificates to trust for https.")
@click.option("--strict", is_flag=True, help="Count failures of level `expected` too.")
@click.option("--list", "only_list", is_flag=True, help="List all cases and their sources. Sends no request.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
@click.version_option(__version__, prog_name="oip-conformance")
def main(
    url: str | None,
    model: str | None,
    timeout_s: float,
    api_key_file: Path | None,
    ca: Path | None,
    strict: bool,
    only_list: bool,
    as_json: bool,
) -> None:
    """Test whether the server at URL conforms to the Open Inference Protocol v2 over HTTP.

    Each case cites its source: a sentence of the specification, or a client. Cases are required by the protocol or by
    an extension that the server lists, or expected by clients or for safety. The suite sends zeros and ones in the
    shapes that the model's metadata declare. It loads and unloads no model.

    Exit codes: 0 conforms, 1 the server cannot be tested, 2 usage, 3 does not conform.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the terminal's encoding may lack a character
    if only_list and url is not None:
        raise UsageError("--list sends no request: omit --list or the URL")
    if only_list:
        click.echo(_dumped([_described(topic) for topic in TOPICS]) if as_json else _listing(TOPICS))
        return
    if url is None:
        raise UsageError("expected the URL of a server, such as http://127.0.0.1:8080, or --list")
    key = None if api_key_file is None else _read_api_key(api_key_file)
    subject = discover(Client(parse_url(url), timeout_s=timeout_s, api_key=key, ca=ca), model)
    with click.progressbar(
        length=sum(len(topic.cases) for topic in TOPICS),
        item_show_func=lambda case: case,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        report = run(subject, progress=lambda done, _, case: bar.update(done - bar.pos, case))
    click.echo(_dumped(dataclasses.asdict(report)) if as_json else _text(report))
    failed = report.failed("required", "extension", *(("expected",) if strict else ()))
    if failed:
        names = ", ".join(each.id for each in failed[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        cases = "1 case" if len(failed) == 1 else f"{len(failed)} cases"
        raise NotConformant(f"{report.server} does not conform: {cases} failed, {names}{more}")


def _read_api_key(path: Path) -> str:
    """Read the API key: one line of printable ASCII without spaces.

    Raises:
        UsageError: the file cannot be read or contains something else. The message does not show its content.
    """
    try:
        with path.open("rb") as file:
            lines = file.read(_LONGEST_KEY + 1).splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the API key file {path}: {error.strerror}") from None
    key = lines[0] if len(lines) == 1 else b""
    if not 1 <= len(key) <= _LONGEST_KEY or not all(0x21 <= byte <= 0x7E for byte in key):
        raise UsageError(f"{path} must contain one line of printable ASCII characters, without spaces")
    return key.decode()


def _dumped(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def _described(topic: Topic) -> dict[str, Any]:
    keys = ("id", "level", "title", "source")
    cases = [{key: getattr(case, key) for key in keys} for case in topic.cases]
    return {"topic": topic.title, "extension": topic.extension, "cases": cases}


def _listing(topics: tuple[Topic, ...]) -> str:
    lines: list[str] = []
    for topic in topics:
        lines += ["", f"{topic.title}{f' (extension {topic.extension})' if topic.extension else ''}"]
        for case in topic.cases:
            lines += [f"  {case.id} ({case.level}): {case.title}", f"      {case.source}"]
    return "\n".join(lines[1:])


def _text(report: Report) -> str:
    lines = [
        f"server      {report.server or 'no name'}",
        f"model       {one_line(report.model)}",
        f"extensions  {', '.join(report.extensions) or 'none'}",
    ]
    width = max(len(each.id) for each in report.results)
    topic = ""
    for each in report.results:
        if each.topic != topic:
            topic = each.topic
            lines += ["", topic]
        line = f"  {_SHOWN[each.outcome]}  {each.id:<{width}}  {each.title}"
        lines.append(f"{line}: {each.found}" if each.outcome == "not applicable" else line)
        if each.outcome == "fail":
            at = " " * (width + 10)
            lines += [f"{at}expected {each.expected}", f"{at}found {each.found}", f"{at}{each.level}: {each.source}"]
    lines += ["", "level      pass  FAIL  n.a."]
    lines += [
        f"{each.level:<9}  {each.passed:>4}  {each.failed:>4}  {each.not_applicable:>4}" for each in report.totals
    ]
    return "\n".join(lines)
