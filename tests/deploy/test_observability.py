"""The files for Prometheus and Grafana are valid, and name only metrics that a server has."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from certificates import make_pair
from deployment import DEPLOY
from jsonschema import Draft202012Validator
from repository import REPOSITORY
from server_messages import wait_for
from server_process import Server, serving

FOLDER = DEPLOY / "observability"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
KEY = "0123456789abcdef-Key"
_METRIC = re.compile(r"\b(?:edgecnn|process)_[a-z_]+\b(?!:)")
_OWN = re.compile(r"\bjob_model_class:edgecnn_predictions:share1[hw]\b")
_PART = re.compile(r"_(?:bucket|sum|count)$")
_VALUES = {"$__rate_interval": "5m", "$__interval": "5m", "$job": ".*", "$instance": ".*", "$model": ".*"}


def queries() -> list[str]:
    """Return each query of the dashboard, with values for its variables."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    found += [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    for name, value in _VALUES.items():
        found = [each.replace(name, value) for each in found]
    return found


def program(name: str) -> str:
    """Return a program of Prometheus; skip the test without it."""
    found = shutil.which(name)
    if found is None:
        assert "CI" not in os.environ, f"{name} is not installed: apt-get install prometheus"
        pytest.skip(f"{name} is not installed: apt-get install prometheus")
    return found


def promtool(*arguments: object) -> None:
    done = subprocess.run([program("promtool"), *map(str, arguments)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def placed(folder: Path, name: str, *, port: int = 8080) -> Path:
    """Copy a scrape configuration and the alerts, with files and a port of this machine."""
    (folder / "key").write_text(KEY)
    text = (FOLDER / name).read_text()
    text = text.replace("/etc/prometheus/edgecnn-key.txt", f"{folder}/key")
    text = text.replace("/etc/prometheus/edgecnn-ca.pem", f"{folder}/cert.pem")
    text = re.sub(r'\["[a-z0-9.]+:8080"\]', f'["localhost:{port}"]', text)
    shutil.copy(FOLDER / "alerts.yml", folder)
    (folder / name).write_text(text.replace("15s", "1s"))
    return folder / name


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """Yield a server with TLS and a key, and the folder of its certificate."""
    folder = tmp_path_factory.mktemp("locked")
    make_pair(folder)
    (folder / "key").write_text(KEY)
    options = ("--tls-cert", folder / "cert.pem", "--tls-key", folder / "key.pem", "--api-key-file", folder / "key")
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.check_hostname = False
    with serving(*options, context=context, headers={"X-API-Key": KEY}) as server:
        yield server, folder


def test_alerts_and_dashboard_name_metrics_that_exist(locked: tuple[Server, Path]):
    server, _ = locked
    text = server.get("/metrics").body.decode()
    exist = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    named = {
        name for text in (*queries(), *(rule["expr"] for rule in RULES)) for name in _METRIC.findall(_OWN.sub("", text))
    }
    variables = (each["definition"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query")
    named |= {name for text in variables for name in _METRIC.findall(text)}
    missing = {name for name in named if name not in exist and _PART.sub("", name) not in exist}
    assert missing == set()


def test_every_limit_and_drift_metric_has_an_alert():
    alerts = "\n".join(rule["expr"] for rule in RULES)
    for name in ("memory_refused", "connections_evicted", "log_lines_dropped", "certificate_expiry", "predictions"):
        assert f"edgecnn_{name}" in alerts
    for rule in RULES:
        assert "record" in rule or rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert "record" in rule or rule["annotations"]["summary"]


def test_promtool_accepts_the_rules():
    promtool("check", "rules", FOLDER / "alerts.yml")
    promtool("test", "rules", FOLDER / "alerts-test.yml", FOLDER / "drift-test.yml")


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-tls.yml"])
def test_promtool_accepts_the_configuration(name: str, tmp_path: Path):
    promtool("check", "config", placed(tmp_path, name))


def test_promtool_accepts_the_queries(tmp_path: Path):
    rules = [{"record": f"query:{number}", "expr": text} for number, text in enumerate(queries())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_grafana_can_import_the_dashboard():
    schema = json.loads((REPOSITORY / "tests" / "support" / "grafana_dashboard.json").read_text())
    Draft202012Validator.check_schema(schema)
    errors = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(DASHBOARD)]
    assert errors == []
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place, targets = panel["gridPos"], panel.get("targets", [])
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert len({target["refId"] for target in targets}) == len(targets), panel["title"]
    for one, other in combinations(panels, 2):
        assert not overlaps(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlaps(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h"))
    )


@pytest.mark.slow
def test_prometheus_scrapes_a_locked_server(locked: tuple[Server, Path], tmp_path: Path):
    server, folder = locked
    shutil.copy(folder / "cert.pem", tmp_path)
    file = placed(tmp_path, "prometheus-tls.yml", port=server.port)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    options = [
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = subprocess.Popen([program("prometheus"), *options], stderr=subprocess.DEVNULL)

    def asked(query: str) -> list[dict[str, Any]]:
        address = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(address, timeout=10) as reply:
            answer = json.load(reply)
        assert answer["status"] == "success"
        return list(answer["data"]["result"])

    def is_scraped() -> bool:
        try:
            return [each["value"][1] for each in asked('up{job="edgecnn"}')] == ["1"]
        except OSError:
            return False

    try:
        wait_for(is_scraped)
        server.infer(server.images[:5])
        wait_for(lambda: asked("sum(edgecnn_predictions_total) >= 5"))
        time.sleep(3)  # two more scrapes, for rates
        answered = [bool(asked(query)) for query in queries()]
        assert sum(answered) >= len(answered) / 2  # without errors and refusals, some queries have no result
    finally:
        process.terminate()
        process.wait(30)
