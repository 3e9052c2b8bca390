"""The build of the role image, as the role renders it, and the Dockerfile for projects without their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rendering import PROJECT, rendered_in_play

FILES = PROJECT / "roles" / "image" / "files"
DOCKERFILE = FILES / "python.Dockerfile"
TAG = "lookup('cloud_django.kubernetes.image_tag', image_context)"
# Directories that are not the project's own name these options.
OTHER_TAG = TAG.replace(")", ", file='Dockerfile', target='', platforms=[])")
NAMES = {
    "dockerfile": "__image_dockerfile",
    "program": "__image_build_program",
    "reads_own_rules": "__image_reads_own_rules",
    "arguments": "__image_argument_options",
    "target": "__image_target_options",
    "output": "__image_output_options",
    "tag": TAG,
    "other_tag": OTHER_TAG,
    "inspection": "image_inspection",
}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    (path / "web").mkdir(parents=True)
    for name in ("Dockerfile", "web/Dockerfile"):
        (path / name).write_text(f"FROM {Path(name).parent}\n", encoding="utf-8")
    return path


def rendered(context: Path, *names: str, **variables: Any) -> dict[str, Any]:
    """Return variables of the role, by their short names."""
    site = {"app_name": "shop", "app_namespace": "shop", "app_image": "localhost/shop:1", "image_context": str(context)}
    site["cluster_name"] = "shop"
    wanted = {name: NAMES[name] for name in names}
    return rendered_in_play(context.parent, wanted, {"image": "main"}, site | variables)


def test_a_usual_build_loads_the_image(context: Path) -> None:
    names = ("dockerfile", "program", "arguments", "target", "output", "inspection")
    found = rendered(context, *names, image_build_arguments={"VERSION": 1})
    assert found["dockerfile"] == f"{context}/Dockerfile"
    assert (found["program"], found["target"], found["output"]) == ([], [], ["--load"])
    assert found["arguments"] == ["--build-arg=VERSION=1"]
    inspection = found["inspection"]
    assert (inspection["source"], inspection["user"], inspection["command"]) == ("build", 10001, False)
    assert (inspection["pinned"], inspection["username"], len(inspection["content"])) == (False, "", 64)


def test_a_build_can_have_another_dockerfile_stage_and_platforms(context: Path) -> None:
    wanted = {"image_file": "{{ name }}/Dockerfile", "name": "web", "image_target": "site"}
    found = rendered(context, "dockerfile", "target", "output", "tag", "other_tag", **wanted)
    assert found["dockerfile"] == f"{context}/web/Dockerfile"
    assert found["target"] == ["--target=site"]
    # The inventories pass only the context and its arguments to the lookup.
    assert found["tag"] != found["other_tag"]
    found = rendered(context, "output", "tag", "other_tag", image_platforms=["linux/amd64", "linux/arm64"])
    assert found["output"] == ["--push", "--platform=linux/amd64,linux/arm64"]
    assert found["tag"] != found["other_tag"]


def test_a_dockerfile_can_be_beside_the_inventory(context: Path) -> None:
    inventory = context.parent / "inventory"
    (inventory / "shop").mkdir(parents=True)
    (inventory / "shop" / "Dockerfile").touch()
    found = rendered(context, "dockerfile", "tag", inventory_dir=str(inventory), image_file="shop/Dockerfile")
    assert found["dockerfile"] == f"{inventory}/shop/Dockerfile"
    path = f"{inventory}/shop/Dockerfile"
    assert rendered(context, "dockerfile", "tag", image_file=path) == found


def test_a_given_image_has_no_build_context(context: Path) -> None:
    wanted = {"image_source": "given", "image_context": "/nowhere", "image_provider": "registry"}
    wanted |= {"image_pull_username": "robot", "image_pull_password": "secret", "django_user_id": None}
    inspection = rendered(context, "inspection", web_command=["gunicorn"], **wanted)["inspection"]
    assert (inspection["source"], inspection["content"], inspection["pinned"]) == ("given", "", True)
    assert (inspection["username"], inspection["password"]) == ("robot", "secret")
    assert (inspection["user"], inspection["command"]) == (None, True)


@pytest.mark.parametrize(
    ("source", "provider", "needed"),
    [("given", "existing", False), ("build", "existing", True), ("given", "kind", True)],
)
def test_a_container_engine_is_needed_to_build_or_to_run_a_cluster(
    tmp_path: Path, source: str, provider: str, needed: bool
) -> None:
    names = {"inspection": "container_engine_inspection", "settled": "__container_engine_is_settled"}
    variables = {"image_source": source, "cluster_provider": provider}
    found = rendered_in_play(tmp_path, names, {"container_engine": "main"}, variables)
    assert found == {"inspection": needed, "settled": not needed}
    builds = variables | {"mirror_builds_enabled": True}
    assert rendered_in_play(tmp_path, names, {"container_engine": "main"}, builds)["inspection"]


# ---- The ready-made Dockerfile ---------------------------------------------------------------------------------------

PYTHON = {
    "requirements": ["-r requirements.txt", "gunicorn"],
    "constraints": ["django<6.1"],
    "packages": ["libpq5", "git"],
    "build_packages": ["gcc"],
    "collect": "SECRET_KEY=none python manage.py collectstatic --noinput",
}


def test_the_ready_made_dockerfile_gets_its_input_as_arguments(context: Path) -> None:
    base = {"BASE_IMAGE": "localhost/python:3.13"}
    names = ("dockerfile", "program", "reads_own_rules", "arguments")
    wanted = {"image_file": "python", "image_python": PYTHON, "image_build_arguments": base}
    found = rendered(context, *names, **wanted)
    assert (found["dockerfile"], found["program"], found["reads_own_rules"]) == (str(DOCKERFILE), [], False)
    assert found["arguments"] == [
        "--build-arg=BASE_IMAGE=localhost/python:3.13",
        "--build-arg=REQUIREMENTS=-r requirements.txt\ngunicorn",
        "--build-arg=CONSTRAINTS=django<6.1",
        "--build-arg=PACKAGES=libpq5 git",
        "--build-arg=BUILD_PACKAGES=gcc",
        "--build-arg=COLLECT=SECRET_KEY=none python manage.py collectstatic --noinput",
    ]
    declared = set(re.findall(r"(?m)^ARG (\w+)", DOCKERFILE.read_text(encoding="utf-8")))
    assert {argument.split("=")[1] for argument in found["arguments"]} == declared


def test_a_context_with_its_own_ignore_file_uses_that_one(context: Path) -> None:
    (context / ".dockerignore").write_text("tests\n", encoding="utf-8")
    found = rendered(context, "program", "reads_own_rules", image_file="python", image_python=PYTHON)
    assert found["reads_own_rules"]
    printed = subprocess.run([*found["program"], "cat"], capture_output=True, text=True, check=True).stdout
    assert printed == DOCKERFILE.read_text(encoding="utf-8")


def steps() -> list[str]:
    """Return the scripts of the Dockerfile's RUN instructions, without their mounts."""
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text(encoding="utf-8"))
    found = re.findall(r"(?m)^RUN ((?:--mount=\S+ +)*)(.*)$", text)
    return [script for _, script in found]


def test_the_ready_made_dockerfile_needs_no_frontend_of_a_registry() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert "# syntax=" not in text
    assert "<<" not in text
    # The user is a number, so that Kubernetes can verify that it is not root.
    assert re.search(r"(?m)^USER 10001:10001$", text)
    assert "migrate" not in text


def test_code_is_copied_after_the_requirements_are_installed() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    order = ("-r .image-remote.txt;", "COPY . ./", "-r /requirements/.image-local.txt;")
    places = [text.index(words) for words in order]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["pip", "apt"])
def test_mirrors_are_reached_with_the_secrets_of_the_build(name: str) -> None:
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text(encoding="utf-8"))
    word = {"pip": "/pip --python", "apt": "apt-get"}[name]
    lines = [line for line in text.splitlines() if line.startswith("RUN ") and word in line]
    assert len(lines) == 2
    assert all("id=ca_certificates" in line for line in lines)
    assert all(("id=pip_conf" in line) == (name == "pip") for line in lines)


def test_requirements_are_separated_from_the_code(context: Path) -> None:
    """The script of the stage runs here, with directories of the test."""
    for name, text in {
        "requirements.txt": "-r requirements/base.txt\n",
        "requirements/base.txt": "django\n",
        "constraints.txt": "django<6.1\n",
        "a name.in": "x\n",
        "shop/views.py": "",
    }.items():
        (context / name).parent.mkdir(exist_ok=True)
        (context / name).write_text(text, encoding="utf-8")
    (context / "linked.txt").symlink_to("constraints.txt")
    (context / "broken.txt").symlink_to("nowhere")
    target = context.parent / "requirements"
    [script] = [each for each in steps() if "/requirements; cd /context" in re.sub(" +", " ", each)]
    script = script.replace("/requirements", str(target)).replace("/context", str(context))
    lines = ["-r requirements.txt", "gunicorn>=20", ".[dev]", "-e ./packages/shop", "--pre"]
    given = {"REQUIREMENTS": "\n".join(lines), "CONSTRAINTS": "whitenoise<7\nredis"}
    subprocess.run(["sh", "-c", script], check=True, env=os.environ | given)
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert {"requirements.txt", "requirements/base.txt", "constraints.txt", "a name.in", "linked.txt"} <= files
    assert not {"shop/views.py", "Dockerfile", "broken.txt"} & files

    def content(name: str) -> str:
        return (target / f".image-{name}.txt").read_text(encoding="utf-8")

    assert content("remote").splitlines() == ["-r requirements.txt", "gunicorn>=20", "--pre"]
    assert content("local").splitlines() == [".[dev]", "-e ./packages/shop"]
    assert content("constraints").splitlines() == ["whitenoise<7", "redis"]
    assert content("options").splitlines() == ["-c .image-constraints.txt", "-c constraints.txt"]


def test_an_empty_context_has_no_files_for_pip(context: Path) -> None:
    empty = context.parent / "empty"
    empty.mkdir()
    target = context.parent / "requirements"
    [script] = [each for each in steps() if "/requirements; cd /context" in re.sub(" +", " ", each)]
    script = script.replace("/requirements", str(target)).replace("/context", str(empty))
    subprocess.run(["sh", "-c", script], check=True, env=os.environ | {"REQUIREMENTS": "pretalx", "CONSTRAINTS": ""})
    assert (target / ".image-remote.txt").read_text(encoding="utf-8") == "pretalx\n"
    assert (target / ".image-local.txt").read_text(encoding="utf-8") == ""


def test_the_command_of_the_ready_made_image_names_the_variable() -> None:
    [line] = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if line.startswith("CMD ")]
    ended = subprocess.run([sys.executable, *json.loads(line[4:])[1:]], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "This image has no start command. Set web_command, for example [gunicorn, shop.wsgi].\n"
