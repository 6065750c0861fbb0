"""The manifests are what Kubernetes takes, and their parts fit each other, the image, and the proxy's own settings."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dbproxy.admin.guard import OPEN
from dbproxy.admin.probes import Probes
from dbproxy.config import Settings
from dbproxy.config.load import load
from tests.unit.admin.house import FakeHouse

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
FILES = ("deployment.yaml", "sidecar.yaml")
VERSIONS = ("1.29", kubernetes_validate.latest_version())  # native sidecars are on by default from 1.29 on
KILLED_AFTER = 5  # seconds left for what is to do beside the drain, at least


@cache
def objects(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / file).read_text()))


def find(file: str, kind: str) -> dict[str, Any]:
    (found,) = [item for item in objects(file) if item["kind"] == kind]
    return found


def pod(file: str) -> dict[str, Any]:
    spec: dict[str, Any] = find(file, "Deployment")["spec"]["template"]["spec"]
    return spec


def proxy(file: str) -> dict[str, Any]:
    spec = pod(file)
    (found,) = [
        container
        for container in [*spec.get("initContainers", []), *spec["containers"]]
        if container["name"] == "dbproxy"
    ]
    return found  # type: ignore[no-any-return]


def environment(file: str, container: Mapping[str, Any]) -> dict[str, str]:
    """What the container is told: the image's, and the manifest's with its secret."""
    secret = find(file, "Secret")
    told = dict(
        re.findall(r"(DBPROXY_\w+)=(\S+)", re.findall(r"^ENV (.*?[^\\])$", DOCKERFILE, re.M | re.S)[0])
    )
    for variable in container["env"]:
        if "value" in variable:
            told[variable["name"]] = variable["value"]
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["name"] == secret["metadata"]["name"]
            told[variable["name"]] = secret["stringData"][reference["key"]]
    return told


def settings(file: str, folder: Path) -> Settings:
    """As `dbproxy serve` in the container reads them."""
    container = proxy(file)
    verb, *paths = container["args"]
    assert verb == "serve"
    assert bool(paths) == (file == "deployment.yaml")
    for path in map(Path, paths):
        (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == str(path.parent)]
        (volume,) = [volume for volume in pod(file)["volumes"] if volume["name"] == mount["name"]]
        configuration = find(file, "ConfigMap")
        assert volume["configMap"]["name"] == configuration["metadata"]["name"]
        (folder / path.name).write_text(configuration["data"][path.name])
    local = folder / Path(paths[0]).name if paths else None
    return load(local, environment(file, container), {})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES)
def test_manifest_is_what_kubernetes_takes(file: str, version: str):
    for item in objects(file):
        assert version.startswith(kubernetes_validate.validate(item, version, strict=True))


def test_validation_knows_what_kubernetes_does_not_take():
    broken = yaml.safe_load((FOLDER / "sidecar.yaml").read_text().split("---")[1])
    broken["spec"]["template"]["spec"]["initContainers"][0]["restartpolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="restartpolicy"):
        kubernetes_validate.validate(broken, VERSIONS[1], strict=True)


def test_every_manifest_is_judged():
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_settings_are_those_that_the_proxy_takes(file: str, tmp_path: Path):
    found = settings(file, tmp_path)
    assert found.warnings() == []
    assert found.primary.url is not None
    assert (found.http.host, bool(found.http.token.get_secret_value())) == ("0.0.0.0", True)
    assert found.listen.host == (("0.0.0.0",) if file == "deployment.yaml" else ("127.0.0.1",))


@pytest.mark.parametrize("file", FILES)
def test_ports_are_those_that_are_listened_on(file: str, tmp_path: Path):
    found, container = settings(file, tmp_path), proxy(file)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["http"] == found.http.port
    assert ports.get("postgresql", found.listen.port) == found.listen.port
    annotations = find(file, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(found.http.port)
    if file == "deployment.yaml":
        (port,) = find(file, "Service")["spec"]["ports"]
        assert (port["targetPort"], port["port"]) == ("postgresql", found.listen.port)


@pytest.mark.parametrize("file", FILES)
def test_probes_ask_for_what_there_is_without_a_token(file: str, tmp_path: Path):
    container, health = proxy(file), settings(file, tmp_path).health
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: get["path"] for kind, get in asked.items()} == {
        "startup": "/health",
        "liveness": "/health",
        "readiness": "/health/ready",
    }
    assert {get["port"] for get in asked.values()} == {"http"}
    routes = {route.path for route in Probes(FakeHouse(), lambda _: True).routes()}
    assert {get["path"] for get in asked.values()} <= routes & OPEN
    assert container["readinessProbe"]["timeoutSeconds"] > health.timeout


@pytest.mark.parametrize("file", FILES)
def test_pod_is_given_the_time_that_a_drain_takes(file: str, tmp_path: Path):
    """A sidecar's begins when the application has ended, which may take Kubernetes' own 30 s."""
    drain = settings(file, tmp_path).pool.shutdown_timeout
    hook = proxy(file).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    before = int(hook[1]) if file == "deployment.yaml" else 30
    assert before > 0
    assert pod(file)["terminationGracePeriodSeconds"] >= before + drain + KILLED_AFTER


def test_sidecar_starts_before_the_application_and_ends_after_it():
    sidecar = proxy("sidecar.yaml")
    assert sidecar in pod("sidecar.yaml")["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert "startupProbe" in sidecar
    assert "lifecycle" not in sidecar  # a sidecar's preStop runs beside the application's, not after it


def test_application_connects_to_the_sidecar(tmp_path: Path):
    (application,) = pod("sidecar.yaml")["containers"]
    url = environment("sidecar.yaml", application)["DATABASE_URL"]
    assert f"@127.0.0.1:{settings('sidecar.yaml', tmp_path).listen.port}/" in url


@pytest.mark.parametrize("file", FILES)
def test_container_may_do_nothing_that_it_need_not(file: str):
    container, spec = proxy(file), pod(file)
    context = spec["securityContext"] | container["securityContext"]
    (user, group), owners = re.findall(r"^USER (\d+):(\d+)", DOCKERFILE, re.M)[0], ("runAsUser", "runAsGroup")
    assert [str(context[owner]) for owner in owners] == [user, group]
    assert context["runAsNonRoot"] is True
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()


@pytest.mark.parametrize("file", FILES)
def test_selectors_find_the_pods(file: str):
    deployment = find(file, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    assert deployment["selector"]["matchLabels"].items() <= labels
    if file == "deployment.yaml":
        assert find(file, "Service")["spec"]["selector"].items() <= labels
        assert find(file, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels


def test_image_hands_signals_to_the_proxy_and_is_not_run_by_root():
    """A first process without a handler is sent no SIGTERM: not until Python has installed one."""
    assert re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.M) == ['["tini", "--", "dbproxy"]']
    assert re.findall(r"^STOPSIGNAL (.*)$", DOCKERFILE, re.M) == ["SIGTERM"]
    assert re.search(r"apt-get install .*\btini\b", DOCKERFILE)
    _, last = DOCKERFILE.rsplit("\nFROM ", 1)
    assert re.search(r"^USER 10001:10001$", last, re.M)
