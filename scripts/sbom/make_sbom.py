"""Write what an image contains as CycloneDX: Debian's packages, Python and its packages, each with a package URL.

    .venv/sbom/bin/python scripts/sbom/make_sbom.py [--check] IMAGE FILE

Debian's part is told by debsbom, Python's by cyclonedx-bom. Both read the image's own files; nothing in it runs but
Python, which says where it looks for packages. The same image gives the same file. --check only says
whether it would be written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import uuid
from pathlib import Path
from typing import Any

TOOLS = Path(sys.executable).parent
SCHEMA = "1.6"
# Files that tell about installed packages.
TELLING = (".dist-info/", ".egg-info/")
QUESTION = "import json, platform, sys; print(json.dumps([platform.python_version(), sys.path]))"


class Stopped(Exception):
    """The file cannot be written; the message is a sentence for the user."""


def run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Stopped(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def unpack(image: str, folder: Path) -> Path:
    """Return the image's files as an archive, and lay those that tell about Python packages into the folder."""
    container = run("docker", "create", image, "true").strip()
    archive = folder.with_suffix(".tar")
    try:
        run("docker", "export", f"--output={archive}", container)
    finally:
        run("docker", "rm", container)
    with tarfile.open(archive) as files:
        wanted = [entry for entry in files if any(part in f"{entry.name}/" for part in TELLING)]
        files.extractall(folder, wanted, filter="data")
    return archive


def python_part(image: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return Python's version, and its packages."""
    told = run("docker", "run", "--rm", "--network=none", "--entrypoint=python", image, "-c", QUESTION)
    version, path = json.loads(told)
    inside = [str(folder / entry.lstrip("/")) for entry in path if entry]
    # cyclonedx-bom asks an interpreter where it looks; this one looks where the image's does.
    stand_in = folder / "python"
    stand_in.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(inside)}\nEND\n", encoding="utf-8")
    stand_in.chmod(0o755)
    command = [str(TOOLS / "cyclonedx-py"), "environment", str(stand_in), f"--spec-version={SCHEMA}"]
    return version, json.loads(run(*command, "--output-reproducible"))


def debian_part(archive: Path) -> dict[str, Any]:
    """Return Debian's packages; none for an image that has no such."""
    with archive.open("rb") as files:
        command = [str(TOOLS / "debsbom"), "generate", "--root=-", "--sbom-type=cdx", "--out=-"]
        done = subprocess.run(
            [*command, f"--cdx-schema-version={SCHEMA}"], stdin=files, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise Stopped(f"debsbom failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def bill(image: str) -> dict[str, Any]:
    """Return the bill of materials of an image."""
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
        raise Stopped(f"Image {image} is not in the container engine: run `make up`, which builds it, then try again.")
    identifier, created = json.loads(
        run("docker", "image", "inspect", "--format=[{{json .Id}},{{json .Created}}]", image)
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "root")
        folder.mkdir()
        archive = unpack(image, folder)
        version, python = python_part(image, folder)
        debian = debian_part(archive)
    path, _, last = image.partition("@")[0].rpartition("/")
    name, _, tag = last.partition(":")
    whole = {
        "type": "container",
        "bom-ref": "image",
        "name": f"{path}/{name}" if path else name,
        "version": tag or identifier,
        "hashes": [{"alg": "SHA-256", "content": identifier.removeprefix("sha256:")}],
    }
    interpreter = {
        "type": "application",
        "bom-ref": f"python-{version}",
        "name": "python",
        "version": version,
        "purl": f"pkg:generic/python@{version}",
    }
    components = [interpreter, *python.get("components", []), *debian.get("components", [])]
    dependencies = [*python.get("dependencies", []), *debian.get("dependencies", [])]
    known = {component["bom-ref"] for component in components}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SCHEMA,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, identifier)}",
        "version": 1,
        "metadata": {"timestamp": created, "component": whole},
        "components": sorted(components, key=lambda component: component["bom-ref"]),
        "dependencies": [
            {"ref": "image", "dependsOn": sorted(known)},
            *sorted((entry for entry in dependencies if entry["ref"] in known), key=lambda entry: entry["ref"]),
        ],
    }


def check(text: str) -> None:
    """Raise Stopped if the text is not what CycloneDX's own schema wants."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise Stopped(f"The bill of materials is not valid: {str(error)[:500]}")


def main(image: str, path: Path, check_only: bool) -> None:
    """Write the file if it would differ, and say how much is in it."""
    found = bill(image)
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    check(text)
    kinds = [str(component.get("purl", "")).partition("/")[0].removeprefix("pkg:") for component in found["components"]]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        print(f"unchanged: {path} with {counts}")
        return
    if check_only:
        print(f"would be written: {path} with {counts}")
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    print(f"written: {path} with {counts}")


if __name__ == "__main__":
    try:
        image, path = (argument for argument in sys.argv[1:] if argument != "--check")
        main(image, Path(path), "--check" in sys.argv)
    except Stopped as stopped:
        sys.exit(str(stopped))
