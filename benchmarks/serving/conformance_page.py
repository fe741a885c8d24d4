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
        f"Tested on {result['measured_at'][:10]} by `python -m benchmarks.serving.conformance`. Its data "
        "also contains each case's source and finding. `n.a.`: the server does not list the extension, or "
        "the model has no such tensor. `required` cases, and `extension` cases that a server lists, count for "
        "conformance. `expected` cases come from clients, HTTP or safe behaviour.",
        "",
        "Each server runs with its defaults. MLServer does not check names, shapes and datatypes of inputs. It leaves "
        "this to the model, here a custom one as in its guide (`serving/peers/mlserver_model.py`).",
        "",
        table(
            ["server", "packages", "listed extensions"],
            [_server(name, reports[name], result["versions"].get(name, {})) for name in names],
        ),
        "",
        "Cases passed, failed and not applicable:",
        "",
        table(["level", *names], _totals(reports)),
        "",
        "## Differences",
        "",
        table(["case", "level", "expected behaviour", *names, "source"], _differences(reports)),
        "",
        "## Failed cases",
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
    """Escape characters with a meaning in Markdown tables or HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("$", "\\$")
