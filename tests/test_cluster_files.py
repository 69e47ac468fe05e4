"""docs/cluster: what is pasted into a cluster names keys that exist, one image, one shared folder, and --resume."""

from __future__ import annotations

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from mer.tune import app

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "docs/cluster"
SHARED = "/shared"

# Of KubeRay's custom resource definition of RayJob (ray-operator/config/crd/bases/ray.io_rayjobs.yaml, August 2026).
KEYS = {
    "job": """activeDeadlineSeconds backoffLimit clusterSelector deletionStrategy entrypoint entrypointNumCpus
        entrypointNumGpus entrypointResources jobId managedBy metadata preRunningDeadlineSeconds rayClusterSpec
        runtimeEnvYAML shutdownAfterJobFinishes submissionMode submitterConfig submitterPodTemplate suspend
        ttlSecondsAfterFinished""",
    "cluster": """authOptions autoscalerOptions enableInTreeAutoscaling gcsFaultToleranceOptions headGroupSpec
        headServiceAnnotations historyServerOptions managedBy networkPolicy rayVersion suspend tlsOptions
        upgradeStrategy workerGroupSpecs""",
    "head": "enableIngress headService ingressOptions labels rayStartParams resources serviceType template",
    "workers": """groupName idleTimeoutSeconds labels maxReplicas minReplicas numOfHosts priority rayStartParams
        replicas resources scaleStrategy suspend template""",
}


def known(kind: str) -> set[str]:
    return set(KEYS[kind].split())


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / "rayjob.yaml").read_text()))


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "ray-cluster.yaml").read_text())


def pinned_ray() -> str:
    return re.findall(r"^ray==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.M)[0]


def image() -> str:
    return re.findall(r"-t (\S+)", (FOLDER / "Dockerfile").read_text())[0]


def options_of_tune() -> set[str]:
    return {name for option in typer.main.get_command(app).params for name in option.opts}


def test_the_image_has_the_ray_that_is_pinned():
    assert f"FROM rayproject/ray:{pinned_ray()}-py311" in (FOLDER / "Dockerfile").read_text()


def test_the_job_has_keys_that_kuberay_knows(documents):
    job = documents[1]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec.keys() <= known("job") and cluster.keys() <= known("cluster")
    assert cluster["headGroupSpec"].keys() <= known("head")
    assert all(group.keys() <= known("workers") for group in cluster["workerGroupSpecs"])
    assert all({"groupName", "minReplicas", "maxReplicas", "template"} <= g.keys() for g in cluster["workerGroupSpecs"])
    assert cluster["rayVersion"] == pinned_ray() and cluster["authOptions"] == {"mode": "token"}
    assert all(isinstance(v, str) for v in cluster["headGroupSpec"]["rayStartParams"].values())


def test_every_pod_of_the_job_has_the_image_and_the_shared_folder(documents):
    claim, job = documents
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        (container,) = pod["containers"]
        assert container["image"] == image()
        places = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert places[SHARED]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert places["/dev/shm"]["emptyDir"]["medium"] == "Memory"


def test_the_command_of_the_job_can_be_typed_and_goes_on(documents):
    words = shlex.split(documents[1]["spec"]["entrypoint"])
    assert words[:3] == ["python", "-m", "mer.tune"] and "--resume" in words
    assert {word for word in words if word.startswith("--")} <= options_of_tune()
    assert (REPOSITORY / Path(words[3]).relative_to("/opt/mer")).is_file()
    places = [words[words.index(name) + 1] for name in ("--studies", "--cache")]
    assert all(place.startswith(f"{SHARED}/") for place in places)


def test_the_cluster_is_one_that_ray_accepts(cluster):
    ray = find_spec("ray")
    assert ray is not None and ray.origin is not None
    schema = json.loads((Path(ray.origin).parent / "autoscaler/ray-schema.json").read_text())
    jsonschema.validate(cluster, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "worker_ips": []}, schema)


def test_every_machine_of_the_cluster_has_the_image_the_shared_folder_and_the_token(cluster):
    docker = cluster["docker"]
    assert docker["image"] == image()
    assert f"-v {SHARED}:{SHARED}" in docker["run_options"] and "-e RAY_AUTH_MODE=token" in docker["run_options"]
    assert "~/.ray/auth_token" in cluster["file_mounts"]
    assert cluster["max_workers"] == len(cluster["provider"]["worker_ips"])
    assert all(
        any("ray start" in word for word in cluster[f"{kind}_start_ray_commands"]) for kind in ("head", "worker")
    )
