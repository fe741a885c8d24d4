"""The page of `conformance.py`: totals, and the cases in which the servers differ."""

from collections.abc import Mapping
from typing import Any

from benchmarks.common.tables import named, table

_SHOWN = {"pass": "pass", "fail": "**fail**", "not applicable": "n.a."}


def page(result: Mapping[str, Any]) -> str:
    """Write the page.

    Args:
        result: the data that `conformance.py` writes.
    """
    reports: Mapping[str, Any] = result["reports"]
    names = list(reports)
    lines = [
        "# Conformance to the Open Inference Protocol v2 over HTTP",
        "",
        f"Asked on {result['measured_at'][:10]} by `python -m benchmarks.serving.conformance`; its data "
        "also has what a case rests on, and what was found in each. `n.a.`: the server does not list the extension, or "
        "the model has no such tensor. Only `required` cases, and `extension` cases of what a server lists, count for "
        "conformance; `expected` is what clients, HTTP or safe behaviour need.",
        "",
        "Each server runs with its defaults. MLServer leaves names, shapes and datatypes of inputs to the model, which "
        "here is a custom one as its guide shows it (`serving/peers/mlserver_model.py`).",
        "",
        table(
            ["server", "packages", "extensions that it lists"],
            [_server(name, reports[name], result["versions"].get(name, {})) for name in names],
        ),
        "",
        "Cases passed, failed and not applicable:",
        "",
        table(["level", *names], _totals(reports)),
        "",
        "## Where they differ",
        "",
        table(["case", "level", "what a server does", *names, "source"], _differences(reports)),
        "",
        "## What was found where a case failed",
        "",
        *_failures(reports),
    ]
    return "\n".join(lines) + "\n"


def _server(name: str, report: Mapping[str, Any], versions: Mapping[str, str]) -> list[str]:
    packages = named(dict(sorted(versions.items())))
    return [f"{name}: {report['server']}", packages, ", ".join(report["extensions"]) or "none"]


def _totals(reports: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for each in zip(*(report["totals"] for report in reports.values()), strict=True):
        cells = [f"{total['passed']} / {total['failed']} / {total['not_applicable']}" for total in each]
        rows.append([each[0]["level"], *cells])
    return rows


def _differences(reports: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for each in zip(*(report["results"] for report in reports.values()), strict=True):
        if len({one["outcome"] for one in each}) == 1:
            continue
        case = each[0]
        outcomes = [_SHOWN[one["outcome"]] for one in each]
        rows.append([f"`{case['id']}`", case["level"], _cell(case["title"]), *outcomes, _cell(case["source"])])
    return rows


def _failures(reports: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, report in reports.items():
        failed = [each for each in report["results"] if each["outcome"] == "fail"]
        lines += [f"{name}: {len(failed)} failed", ""]
        lines += [
            f"- `{each['id']}`: expected {_cell(each['expected'])}; found {_cell(each['found'])}" for each in failed
        ]
        lines += [""] if failed else []
    return lines[:-1] if lines and not lines[-1] else lines


def _cell(text: str) -> str:
    """Escape what has a meaning in a table or in HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("$", "\\$")
