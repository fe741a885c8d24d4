"""The manifests: validated, compared with the server, and their arguments and probes run against it."""

import contextlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from deployment import DEPLOY, parsed, serve_options
from manifests import check, container, documents
from repository import COMMITTED
from server_process import Server, serving

from edgecnn.host.resources import usable_cores

VERSIONS = ("1.31", "1.37")
KEY = "0123456789abcdef" * 2
USER = 10001
DEFAULT_GRACE_S = 30
"""The grace period of a pod that sets none."""
KUBERNETES, KSERVE = documents("kubernetes"), documents("kserve")
SERVERS = {"kubernetes": KUBERNETES["Deployment"], "kserve": KSERVE["ClusterServingRuntime"]}
EACH = pytest.mark.parametrize("name", SERVERS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KUBERNETES)
def test_manifest_is_valid(kind: str, version: str):
    kubernetes_validate.validate(KUBERNETES[kind], version, strict=True)


def test_all_manifests_exist():
    assert set(KUBERNETES) == {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert set(KSERVE) == {"ClusterServingRuntime", "InferenceService"}


@pytest.mark.parametrize("kind", KSERVE)
def test_kserve_manifest_has_only_known_fields(kind: str):
    try:
        importlib.metadata.version("kserve")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package kserve is not installed: make install adds it without its dependencies")
    document = KSERVE[kind]
    group, version = document["apiVersion"].split("/")
    assert group == "serving.kserve.io"
    left = check(document, version[0].upper() + version[1:] + kind, kind)
    known = r"\w+\.metadata|ClusterServingRuntime\.spec\.(containers|volumes)\[0\]"
    assert all(re.fullmatch(known, place) for place in left), left


def test_pod_of_the_serving_runtime_is_valid():
    spec = KSERVE["ClusterServingRuntime"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}}
    pod["spec"] = {"containers": spec["containers"], "volumes": spec["volumes"]}
    kubernetes_validate.validate(pod, VERSIONS[-1], strict=True)


def test_references_between_manifests_match():
    labels = KUBERNETES["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert KUBERNETES[kind]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert KUBERNETES["Service"]["spec"]["selector"].items() <= labels.items()
    target = KUBERNETES["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", KUBERNETES["Deployment"]["metadata"]["name"])
    assert {port["targetPort"] for port in KUBERNETES["Service"]["spec"]["ports"]} == {"http"}
    model = KSERVE["InferenceService"]["spec"]["predictor"]["model"]
    runtime = KSERVE["ClusterServingRuntime"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    formats = [(each["name"], each["version"]) for each in runtime["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats


@EACH
def test_pod_has_minimal_privileges(name: str):
    only = container(SERVERS[name])
    pod = SERVERS[name]["spec"].get("template", {}).get("spec", {}).get("securityContext", {})
    security = pod | only["securityContext"]
    assert security["runAsNonRoot"] is security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["runAsUser"] == USER
    assert only["resources"]["requests"]["cpu"] == only["resources"]["limits"]["cpu"]
    writable = [mount["mountPath"] for mount in only["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]


@EACH
def test_grace_period_covers_the_drain(name: str):
    options = serve_options(["edgecnn", *container(SERVERS[name])["args"]])
    if name == "kubernetes":
        spec = SERVERS[name]["spec"]["template"]["spec"]
        _, before_s = container(SERVERS[name])["lifecycle"]["preStop"]["exec"]["command"]
        assert options.threads == int(container(SERVERS[name])["resources"]["limits"]["cpu"])
    else:
        spec, before_s = KSERVE["InferenceService"]["spec"]["predictor"], 0
    assert spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_S) > options.grace_s + int(before_s) + 2


def test_leaves_managed_fields_unset():
    assert "replicas" not in KUBERNETES["Deployment"]["spec"]
    assert KUBERNETES["HorizontalPodAutoscaler"]["spec"]["minReplicas"] > 1
    assert "terminationGracePeriodSeconds" not in KSERVE["InferenceService"]["spec"]["predictor"]
    assert not {"lifecycle", "startupProbe"} & set(container(SERVERS["kserve"]))


@contextlib.contextmanager
def pod(name: str, models: Path, folder: Path, *more: object) -> Iterator[Server]:
    """Serve with the container's arguments and further ones; replace addresses, ports and folders."""
    (folder / "api-key").write_text(f"{KEY}\n")
    (place,) = parsed(["edgecnn", *container(SERVERS[name])["args"]]).params["bundles"]
    assert str(place) == {"kubernetes": "/models", "kserve": "/mnt/models"}[name]
    words = container(SERVERS[name])["args"][2:]
    # `serving` puts its free port first, so a later --port would override it.
    changes = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=8080": "--port=0", "/etc/edgecnn": str(folder)}
    if usable_cores() < 2:
        changes["--threads=2"] = "--threads=1"
    for before, after in changes.items():
        words = [word.replace(before, after) for word in words]
    headers = {"Authorization": f"Bearer {KEY}"}
    with serving(*words, *more, bundles=[models], name=served_as(models), headers=headers) as server:
        yield server


def served_as(models: Path) -> str:
    return models.name if (models / "1").exists() else COMMITTED.name


def bundle_itself(folder: Path) -> Path:
    """Lay out a bundle as KServe downloads it."""
    return Path(shutil.copytree(COMMITTED, folder / "mnt" / "models"))


def bundles(folder: Path) -> Path:
    return Path(shutil.copytree(COMMITTED, folder / "models" / COMMITTED.name)).parent


def versions(folder: Path) -> Path:
    return Path(shutil.copytree(COMMITTED, folder / "mnt" / "models" / "1")).parent


@pytest.mark.parametrize(("name", "lay"), [("kubernetes", bundles), ("kserve", bundle_itself), ("kserve", versions)])
def test_container_arguments_serve_and_answer_probes(name: str, lay: Any, tmp_path: Path):
    only = container(SERVERS[name])
    probes = {probe: only[probe]["httpGet"] for probe in only if probe.endswith("Probe")}
    assert {"readinessProbe", "livenessProbe"} <= set(probes)
    ports = {port["name"]: port["containerPort"] for port in only["ports"]}
    (port,) = {probe["port"] if isinstance(probe["port"], int) else ports[probe["port"]] for probe in probes.values()}
    assert port == serve_options(["edgecnn", *only["args"]]).port
    with pod(name, lay(tmp_path), tmp_path) as server:
        with_key, server.headers = server.headers, {}  # a kubelet sends no key
        assert {probe["path"]: server.get(probe["path"]).status for probe in probes.values()} == {
            "/v2/health/ready": 200,
            "/v2/health/live": 200,
        }
        server.headers = with_key
        assert server.get(f"/v2/models/{server.name}/ready").status == 200
        assert server.stop() == 0


@pytest.mark.slow
def test_probes_are_answered_at_the_connection_limit(tmp_path: Path):
    path = container(SERVERS["kubernetes"])["livenessProbe"]["httpGet"]["path"]
    with (
        pod("kubernetes", bundles(tmp_path), tmp_path, "--max-connections", 4) as server,
        contextlib.ExitStack() as kept,
    ):
        for _ in range(6):
            kept.enter_context(server.connect()).sendall(f"GET {path} HTTP/1.1\r\n".encode())
            assert server.get(path).status == 200


@pytest.mark.slow
def test_pod_conforms_to_the_protocol(tmp_path: Path):
    text = (DEPLOY / "kubernetes" / "README.md").read_text()
    (command,) = re.findall(r"^oip-conformance (.+?) +#", text, re.MULTILINE)
    with pod("kubernetes", bundles(tmp_path), tmp_path) as server:
        places = {"http://127.0.0.1:8080": f"http://127.0.0.1:{server.port}", "api-key": tmp_path / "api-key"}
        words = [str(places.get(word, word)) for word in command.split()]
        done = subprocess.run(
            [sys.executable, "-m", "oip_conformance", *words], check=False, capture_output=True, text=True
        )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_autoscaler_metric_exists(tmp_path: Path):
    blocks = re.findall(r"```yaml\n(.*?)```", (DEPLOY / "kubernetes" / "README.md").read_text(), re.DOTALL)
    (rule,) = next(document["rules"] for block in blocks if "rules" in (document := yaml.safe_load(block)))
    (metric,) = KUBERNETES["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert rule["name"]["as"] == metric["pods"]["metric"]["name"]
    with pod("kubernetes", bundles(tmp_path), tmp_path) as server:
        given = {sample.name for sample in server.samples()}
    named = set(re.findall(r"edgecnn_\w+", rule["seriesQuery"] + rule["metricsQuery"]))
    assert named == {"edgecnn_queue_seconds_sum", "edgecnn_queue_seconds_count"}
    assert named <= given
