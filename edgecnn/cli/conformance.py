"""`edgecnn conformance`: whether a server does what the Open Inference Protocol v2 says."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import json_option
from edgecnn.cli.output import columns, counted, emit, progress_bar
from edgecnn.errors import NotConformant, UsageError

if TYPE_CHECKING:
    from edgecnn.conformance.case import Topic
    from edgecnn.conformance.suite import Report

_SHOWN = {"pass": "pass", "fail": "FAIL", "not applicable": "n.a."}


@click.command()
@click.argument("url", required=False)
@click.option("--model", help="Model to ask. [default: the only one that is ready]")
@click.option(
    "--timeout-s", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds of a request."
)
@click.option("--api-key-file", type=click.Path(path_type=Path), help="File with the key that the server wants.")
@click.option("--ca", type=click.Path(path_type=Path), help="PEM file of the authorities to trust for https.")
@click.option("--strict", is_flag=True, help="A case that is only expected fails like the others.")
@click.option("--list", "only_list", is_flag=True, help="List the cases with their sources; no server is asked.")
@json_option
def conformance(
    url: str | None,
    model: str | None,
    timeout_s: float,
    api_key_file: Path | None,
    ca: Path | None,
    strict: bool,
    only_list: bool,
    as_json: bool,
) -> None:
    """Ask the server at URL, of any make, whether it does what the Open Inference Protocol v2 says, over HTTP.

    Each case names the sentence or the client that it rests on. A case is required by the protocol, by an extension of
    Triton's that the server lists, or expected by clients and for safety. Exit 3 where one fails that is not only
    expected. The model gets zeros and ones in the shapes that its metadata tell; nothing is loaded or unloaded.
    """
    from edgecnn.conformance.cases import TOPICS

    if only_list and url is not None:
        raise UsageError("--list asks no server, it shows the cases: leave out --list, or the URL")
    if only_list:
        emit([_described(topic) for topic in TOPICS], _listing(TOPICS), as_json=as_json)
        return
    if url is None:
        raise UsageError("expected the URL of a server, such as http://127.0.0.1:8080, or --list")
    from edgecnn.conformance.connection import Client, parse_url
    from edgecnn.conformance.discovery import discover
    from edgecnn.conformance.suite import run
    from edgecnn.protocol.api_key import read_api_key

    key = None if api_key_file is None else read_api_key(api_key_file, shortest=1).decode()
    client = Client(parse_url(url), timeout_s=timeout_s, api_key=key, ca=ca)
    with progress_bar() as progress:
        report = run(discover(client, model), progress=progress)
    emit(report, _text(report), as_json=as_json)
    failed = report.failed("required", "extension", *(("expected",) if strict else ()))
    if failed:
        names = ", ".join(each.id for each in failed[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        raise NotConformant(f"{report.server} does not conform: {counted(len(failed), 'case')} failed, {names}{more}")


def _described(topic: "Topic") -> dict[str, Any]:
    keys = ("id", "level", "title", "source")
    cases = [{key: getattr(case, key) for key in keys} for case in topic.cases]
    return {"topic": topic.title, "extension": topic.extension, "cases": cases}


def _listing(topics: "tuple[Topic, ...]") -> str:
    lines: list[str] = []
    for topic in topics:
        lines += ["", f"{topic.title}{f' (extension {topic.extension})' if topic.extension else ''}"]
        for case in topic.cases:
            lines += [f"  {case.id} ({case.level}): {case.title}", f"      {case.source}"]
    return "\n".join(lines[1:])


def _text(report: "Report") -> str:
    from edgecnn.conformance.answer import one_line

    lines = [
        columns(
            [
                ("server", report.server or "tells no name"),
                ("model", one_line(report.model)),
                ("extensions", ", ".join(report.extensions) or "none"),
            ]
        )
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
    totals = [(each.level, str(each.passed), str(each.failed), str(each.not_applicable)) for each in report.totals]
    lines += ["", columns([("level", "pass", "FAIL", "n.a."), *totals], right=(1, 2, 3))]
    return "\n".join(lines)
