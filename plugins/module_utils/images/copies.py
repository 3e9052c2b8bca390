"""Copies of an image: in the container engine, on the nodes of a kind or minikube cluster, and in a registry."""

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import MachineError

from .pods import configuration

# Label with the hash of an image's inputs. Only images with the label and the correct name are managed, because images
# that are built on a managed image inherit the label.
LABEL = "cloud-django.context"
KIND_LABEL = "io.x-k8s.kind.cluster"
# Lists managed images. The command succeeds only while the container engine runs.
LIST_ENGINE = ["docker", "image", "ls", "--quiet", "--no-trunc", f"--filter=label={LABEL}"]
RETRY = "Rerun the playbook"
NO_ENGINE = ("The container engine does not answer", "Start it, then rerun the playbook")
# Prints the images on a node that match one of the filters $2 ..., an empty line, and the manifest of the image $1. One
# call does all, because each takes 0.1 s. ctr reads all files of each listed image and takes 0.05 s to start, so the
# manifest is read without it.
_LIST_NODE = """
reference=$1
shift
images=$(ctr --namespace=k8s.io images ls "$@")
printf '%s\\n\\n' "$images"
printf '%s\\n' "$images" | while read -r name type digest rest; do
  if [ "$name" = "$reference" ]; then
    cat "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/${digest#sha256:}" 2> /dev/null ||
      ctr --namespace=k8s.io content get "$digest" < /dev/null || true
  fi
done
"""

# Runs a command, and returns its exit code, output, and error output.
Run = Callable[[list[str]], tuple[int, str, str]]


def execute(argv: list[str]) -> tuple[int, str, str]:
    """Run a command. Safe for several threads at a time."""
    try:
        done = subprocess.run(argv, capture_output=True, encoding="utf-8", errors="replace", check=False)
    except OSError as error:
        return 127, "", f"{argv[0]}: {error.strerror}"
    return done.returncode, done.stdout, done.stderr


class NodeImage(NamedTuple):
    """One line of `ctr images ls`."""

    name: str
    digest: str


def canonical(reference: str) -> str:
    """Return the full form of an image reference: `polls:1` is `docker.io/library/polls:1`."""
    first, slash, _ = reference.partition("/")
    if not slash:
        return f"docker.io/library/{reference}"
    if first == "localhost" or "." in first or ":" in first:
        return reference
    return f"docker.io/{reference}"


def split(reference: str) -> tuple[str, str]:
    """Return repository and tag of `reference`."""
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag or "@" in reference:
        step = "Set a repository and a tag, such as localhost/polls:1, then rerun the playbook"
        raise MachineError(f"Image reference {reference}", "has no tag or no repository", step)
    return repository, tag


def last_line(text: str) -> str:
    """Return the last line of a command's output, where commands print the cause of a failure."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no error output"


def output_of(run: Run, argv: list[str], problem: str, next_step: str = "") -> str:
    """Return the output of a command. Raises MachineError if it fails, with the problem and the command's last line."""
    code, output, error = run(argv)
    if code:
        raise MachineError(f"{problem}:", last_line(error), next_step)
    return output


def engine_images(run: Run, repository: str) -> list[dict[str, Any]]:
    """Return the managed images of `repository` in the container engine, the newest first."""
    identifiers = sorted(set(output_of(run, LIST_ENGINE, *NO_ENGINE).split()))
    if not identifiers:
        return []
    inspect = ["docker", "image", "inspect", *identifiers]
    output = output_of(run, inspect, "An image was removed from the container engine during the inspection", RETRY)
    try:
        return tagged_images(json.loads(output), repository)
    except ValueError:
        end = f"{output[-60:]!r}"
        raise MachineError("The container engine", f"printed incomplete JSON: {end}", RETRY) from None


def tagged_images(inspected: list[dict[str, Any]], repository: str) -> list[dict[str, Any]]:
    """Return one entry per tag of `repository` from the output of `docker image inspect`, the newest first."""
    found = []
    for image in inspected:
        times = [image.get("Created") or "", (image.get("Metadata") or {}).get("LastTagTime") or ""]
        for name in image.get("RepoTags") or []:
            if of_repository(name, repository):
                entry = {
                    "reference": f"{repository}:{name.rpartition(':')[2]}",
                    "id": image["Id"],
                    "context": image["Config"]["Labels"][LABEL],
                    "config": configuration(image["Config"]),
                }
                found.append((max(times), entry))
    return [entry for _, entry in sorted(found, key=lambda item: (item[0], item[1]["reference"]), reverse=True)]


def kind_containers(cluster: str) -> list[str]:
    """Return the command that lists ID, state, and name of each container of a kind cluster."""
    columns = "--format={{ .ID }} {{ .State }} {{ .Names }}"
    return ["docker", "container", "ls", "--all", f"--filter=label={KIND_LABEL}={cluster}", columns]


def kind_nodes(run: Run, cluster: str) -> list[str]:
    """Return the names of the running nodes of a kind cluster."""
    found = [line.split() for line in output_of(run, kind_containers(cluster), *NO_ENGINE).splitlines()]
    running = [words[2] for words in found if words[1:2] == ["running"]]
    # A cluster with several control planes also has a load balancer, which runs no pods.
    return sorted(name for name in running if not name.endswith("-external-load-balancer"))


def parse_listing(text: str) -> list[NodeImage]:
    """Return the images of `ctr images ls`, which prints a heading first."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return [NodeImage(row[0], row[2]) for row in rows if len(row) > 2]


def names_of(images: list[NodeImage], repository: str) -> dict[str, list[str]]:
    """Return the tags of `repository`, as full references, each with all names of the image on the node.

    The names are the reference and the ID, which Kubernetes uses. An image is removed only without both names. An ID
    that a tag of another repository shares is left out.
    """
    repository = canonical(repository)
    managed = [image for image in images if image.name.rpartition(":")[0] == repository]
    identifiers = [image for image in images if image.name.startswith("sha256:")]
    elsewhere = {image.digest for image in images if image not in managed and image not in identifiers}
    return {
        tag.name: [tag.name]
        + [image.name for image in identifiers if image.digest == tag.digest and image.digest not in elsewhere]
        for tag in managed
    }


def manifest_ids(digest: str, manifest: str) -> list[str]:
    """Return the possible IDs of a manifest's image in container engines: its digest, or that of its configuration."""
    try:
        configuration = json.loads(manifest).get("config", {}).get("digest")
    except ValueError:
        configuration = None
    return [digest, configuration] if configuration else [digest]


def lacking(companions: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the companions that are missing among the names of a node's images."""
    present = set(map(canonical, names))
    return [companion for companion in companions if canonical(companion) not in present]


def node_copy(run: Run, node: str, reference: str, companions: Iterable[str] = ()) -> dict[str, Any]:
    """Return a node's tags of the repository of `reference`, the IDs of its copy, and its missing companions."""
    repository, _ = split(reference)
    full = canonical(reference)
    filters = [f'name~="^{canonical(repository)}:"', *(f'name=="{canonical(name)}"' for name in companions)]
    command = ["docker", "exec", node, "sh", "-euc", _LIST_NODE, "sh", full, *filters]
    output = output_of(
        run, command, f"Node {node} cannot list its images", f"Check `docker logs {node}`, then rerun the playbook"
    )
    listing, _, manifest = output.partition("\n\n")
    images = parse_listing(listing)
    digest = next((image.digest for image in images if image.name == full), "")
    # A copy without its manifest is unusable, so it does not count.
    identifiers = manifest_ids(digest, manifest) if digest and manifest.strip() else []
    tags = [f"{repository}:{name.rpartition(':')[2]}" for name in names_of(images, repository)]
    lacks = lacking(companions, [image.name for image in images])
    return {"name": node, "references": sorted(tags), "ids": identifiers, "lacks": lacks}


def node_copies(run: Run, cluster: str, reference: str, companions: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return :func:`node_copy` of each running node. All are inspected at the same time."""
    nodes = kind_nodes(run, cluster)
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda node: node_copy(run, node, reference, companions), nodes))


def minikube_command(parameters: dict[str, Any]) -> list[str]:
    """Return the minikube command: the first installed binary, for one profile in one MINIKUBE_HOME."""
    known = parameters["minikube_programs"]
    program = next((found for found in map(shutil.which, known) if found), None)
    if not program:
        step = "Install it, or set image_minikube_binaries, then rerun the playbook"
        raise MachineError("minikube", f"is missing: none of {', '.join(known)} is installed", step)
    return ["env", f"MINIKUBE_HOME={parameters['minikube_home']}", program, "--profile", parameters["minikube_profile"]]


def minikube_nodes(parameters: dict[str, Any]) -> list[str]:
    """Return minikube's names for the nodes of a profile. None without the profile."""
    home, profile = Path(parameters["minikube_home"]), parameters["minikube_profile"]
    directory = home if home.name == ".minikube" else home / ".minikube"
    try:
        nodes = json.loads((directory / "profiles" / profile / "config.json").read_text(encoding="utf-8"))["Nodes"]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [f"{profile}-{node['Name']}" if node.get("Name") and len(nodes) > 1 else profile for node in nodes]


def minikube_images(run: Run, command: list[str], node: str, single: bool) -> list[dict[str, Any]] | None:
    """Return the images of a node, each with id and repoTags. None if the node does not run.

    minikube lists the images of all nodes together, so each of several nodes is inspected separately.
    """
    alone = ["ssh", "--node", node, "--", "sudo", "crictl", "images", "--output", "json"]
    code, output, _ = run([*command, *(["image", "ls", "--format=json"] if single else alone)])
    if code:
        return None
    try:
        listed = json.loads(output)
    except ValueError:
        # For a stopped profile, minikube prints plain text.
        return None
    return (listed.get("images") if isinstance(listed, dict) else listed) or []


def minikube_copies(
    run: Run, command: list[str], nodes: list[str], reference: str, companions: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Return what :func:`node_copy` returns, for each running node of a profile. All are inspected at the same time."""
    repository, _ = split(reference)
    with ThreadPoolExecutor(max_workers=8) as pool:
        listings = list(pool.map(lambda node: minikube_images(run, command, node, len(nodes) == 1), nodes))
    found = []
    for node, listing in zip(nodes, listings, strict=True):
        if listing is None:
            continue
        references, identifiers = [], []
        lacks = lacking(companions, [tag for image in listing for tag in image.get("repoTags") or []])
        for image in listing:
            tags = [tag for tag in image.get("repoTags") or [] if of_repository(tag, repository)]
            references += [f"{repository}:{tag.rpartition(':')[2]}" for tag in tags]
            if canonical(reference) in map(canonical, tags):
                identifiers.append(f"sha256:{image['id'].removeprefix('sha256:')}")
        found.append({"name": node, "references": sorted(references), "ids": identifiers, "lacks": lacks})
    return found


def of_repository(reference: str, repository: str) -> bool:
    return canonical(reference).rpartition(":")[0] == canonical(repository)


def configuration_id(archive: IO[bytes]) -> str:
    """Return the digest of an image's configuration from the output of `docker image save`. Empty if it has none."""
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        for member in tar:
            if member.name == "manifest.json" and (file := tar.extractfile(member)):
                digest = json.loads(file.read())[0]["Config"].rpartition("/")[2].removesuffix(".json")
                return f"sha256:{digest}"
    return ""


def saved_configuration_id(reference: str) -> str:
    """Return :func:`configuration_id` of an image in the container engine. Empty if it cannot be saved."""
    command = ["docker", "image", "save", reference]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            return configuration_id(process.stdout) if process.stdout else ""
        except (tarfile.TarError, ValueError, LookupError):
            return ""
        finally:
            process.kill()


def known_to(engine: str, nodes: list[dict[str, Any]], configuration: Callable[[], str]) -> list[dict[str, Any]]:
    """Return the nodes, with the container engine's ID added if a node has the same image under another ID.

    Container engines with containerd's image store use the digest of the manifest as ID, and minikube rewrites the
    manifest. The configuration stays the same, but reading it is slow, so it is read only if it decides.
    """
    if not engine or all(not node["ids"] or engine in node["ids"] for node in nodes):
        return nodes
    same = configuration()
    return [node | {"ids": [*node["ids"], engine]} if same in node["ids"] else node for node in nodes]


def registry_copy(run: Run, reference: str) -> dict[str, Any]:
    """Return digest, IDs, and context of the image `reference` in its registry. Empty if it has none."""
    inspect = ["docker", "buildx", "imagetools", "inspect"]
    code, output, error = run([*inspect, "--format={{ json . }}", reference])
    if not code:
        try:
            answer = json.loads(output)
            digest = answer["manifest"]["digest"]
        except (ValueError, LookupError, TypeError):
            thing, end = f"The registry's answer about {reference}", f"{output[-60:]!r}"
            raise MachineError(thing, f"is incomplete: {end}", RETRY) from None
        _, manifest, _ = run([*inspect, "--raw", reference])
        config = config_of(answer.get("image") or {})
        context = ((config or {}).get("Labels") or {}).get(LABEL, "")
        ids = manifest_ids(digest, manifest)
        return {"digest": digest, "ids": ids, "context": context, "config": configuration(config)}
    reason = last_line(error).removeprefix("ERROR: ")
    if reason.endswith("not found") or "name unknown" in reason:
        return {}
    is_refused = re.search("unauthorized|forbidden|denied|credentials", reason, re.IGNORECASE)
    advice = "Log in to the registry with `docker login`" if is_refused else "Check that the registry runs"
    raise MachineError(
        f"Image {reference} in the registry", f"cannot be inspected: {reason}", f"{advice}, then rerun the playbook"
    )


def config_of(image: dict[str, Any]) -> dict[str, Any] | None:
    """Return the configuration of an image, or of the first of several platforms. None if it has none."""
    configurations = [image] if "config" in image else [value for value in image.values() if "config" in value]
    return configurations[0]["config"] if configurations else None


def outdated(references: Iterable[str], newest_first: Iterable[str], wanted: Iterable[str], keep: int) -> list[str]:
    """Return the `references` to remove.

    All of `wanted` stay, and the newest others until `keep` references stay in total. References that are not in
    `newest_first` count as the oldest.
    """
    known = list(newest_first)
    order = sorted(references, key=lambda name: (known.index(name) if name in known else len(known), name))
    wanted = set(wanted)
    room = keep - sum(name in wanted for name in order)
    others = [name for name in order if name not in wanted]
    return others[max(room, 0) :]


def removals(run: Run, parameters: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Return the removals: the place, the reference, and the command."""
    repository, _ = split(parameters["reference"])
    keep = parameters["keep"]
    wanted = set(parameters["used"]) | ({parameters["reference"]} if keep else set())
    newest_first = [image["reference"] for image in engine_images(run, repository)]
    found = [
        ("engine", reference, ["docker", "image", "rm", reference])
        for reference in outdated(newest_first, newest_first, wanted, keep)
    ]
    for node in kind_nodes(run, parameters["kind_cluster"]) if parameters["kind_cluster"] else []:
        inside = ["docker", "exec", node, "ctr", "--namespace=k8s.io", "images"]
        output = output_of(run, [*inside, "ls"], f"Node {node} cannot list its images")
        names = names_of(parse_listing(output), repository)
        tags = {f"{repository}:{name.rpartition(':')[2]}": every for name, every in names.items()}
        old = outdated(tags, newest_first, wanted, keep)
        # Two tags can name one image, whose ID must stay as long as one of the tags stays.
        shared = {name for tag, every in tags.items() if tag not in old for name in every}
        found += [(node, tag, [*inside, "rm", *(name for name in tags[tag] if name not in shared)]) for tag in old]
    if parameters["minikube_profile"]:
        command, nodes = minikube_command(parameters), minikube_nodes(parameters)
        # minikube removes an image from all nodes at once.
        tags = {
            tag for node in minikube_copies(run, command, nodes, parameters["reference"]) for tag in node["references"]
        }
        old = outdated(tags, newest_first, wanted, keep)
        found += [(parameters["minikube_profile"], tag, [*command, "image", "rm", tag]) for tag in old]
    return found


def left_over(run: Run, parameters: dict[str, Any], removed: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the removed images that a minikube profile still has, because minikube never reports a failed removal."""
    profile = parameters["minikube_profile"]
    attempted = [entry for entry in removed if entry["place"] == profile]
    if not profile or not attempted:
        return []
    command, nodes = minikube_command(parameters), minikube_nodes(parameters)
    nodes_left = minikube_copies(run, command, nodes, parameters["reference"])
    present = {tag for node in nodes_left for tag in node["references"]}
    return [entry for entry in attempted if entry["reference"] in present]
