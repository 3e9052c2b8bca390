"""Copies of an image: in the container engine, in the nodes of a kind or minikube cluster, and in a registry."""

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

# Holds the hash of what an image was made from. Only images of the right name that carry it are ours: whoever builds on
# one of ours inherits the label.
LABEL = "cloud-django.context"
KIND_LABEL = "io.x-k8s.kind.cluster"
# Our images in the engine. It answers this only while it runs.
LIST_ENGINE = ["docker", "image", "ls", "--quiet", "--no-trunc", f"--filter=label={LABEL}"]
NO_ENGINE = ("The container engine does not answer", "Start it, then run this again")
# Prints the images that match one of the filters $2 ... in a node, an empty line, and the manifest of the image $1: one
# call, since each takes 0.1 s. ctr reads all files of each image that it lists, and takes 0.05 s to start; the manifest
# needs none.
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

# Runs a command; returns its exit code, its output and its error output.
Run = Callable[[list[str]], tuple[int, str, str]]


def execute(argv: list[str]) -> tuple[int, str, str]:
    """Run a command, also from several threads at a time."""
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
        raise MachineError(f"{reference} is not a repository and a tag, such as localhost/polls:1: give it both.")
    return repository, tag


def last_line(text: str) -> str:
    """Return the last line of what a command printed, which is where they say what went wrong."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def output_of(run: Run, argv: list[str], problem: str, next_step: str = "") -> str:
    """Return what a command prints. Raises MachineError if it fails, with the problem and the command's last line."""
    code, output, error = run(argv)
    if code:
        raise MachineError(f"{problem}:", last_line(error), next_step)
    return output


def engine_images(run: Run, repository: str) -> list[dict[str, str]]:
    """Return our images of `repository` in the engine, the newest first."""
    identifiers = sorted(set(output_of(run, LIST_ENGINE, *NO_ENGINE).split()))
    if not identifiers:
        return []
    inspect = ["docker", "image", "inspect", *identifiers]
    output = output_of(run, inspect, "The container engine lost an image while it was asked", "Run this again")
    try:
        return tagged_images(json.loads(output), repository)
    except ValueError:
        end = f"{output[-60:]!r}"
        raise MachineError("The container engine printed no complete JSON:", end, "Run this again") from None


def tagged_images(inspected: list[dict[str, Any]], repository: str) -> list[dict[str, str]]:
    """Return what counts of the output of `docker image inspect`, one entry per tag of `repository`, newest first."""
    found = []
    for image in inspected:
        times = [image.get("Created") or "", (image.get("Metadata") or {}).get("LastTagTime") or ""]
        for name in image.get("RepoTags") or []:
            if of_repository(name, repository):
                entry = {
                    "reference": f"{repository}:{name.rpartition(':')[2]}",
                    "id": image["Id"],
                    "context": image["Config"]["Labels"][LABEL],
                }
                found.append((max(times), entry))
    return [entry for _, entry in sorted(found, key=lambda item: (item[0], item[1]["reference"]), reverse=True)]


def kind_containers(cluster: str) -> list[str]:
    """Return the command that lists ID, state and name of each container of a kind cluster."""
    columns = "--format={{ .ID }} {{ .State }} {{ .Names }}"
    return ["docker", "container", "ls", "--all", f"--filter=label={KIND_LABEL}={cluster}", columns]


def kind_nodes(run: Run, cluster: str) -> list[str]:
    """Return the names of the running nodes of a kind cluster."""
    found = [line.split() for line in output_of(run, kind_containers(cluster), *NO_ENGINE).splitlines()]
    running = [words[2] for words in found if words[1:2] == ["running"]]
    # A cluster with several control planes has a load balancer as well, which runs no pods.
    return sorted(name for name in running if not name.endswith("-external-load-balancer"))


def parse_listing(text: str) -> list[NodeImage]:
    """Return the images of `ctr images ls`, whose first line is a heading."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return [NodeImage(row[0], row[2]) for row in rows if len(row) > 2]


def names_of(images: list[NodeImage], repository: str) -> dict[str, list[str]]:
    """Return the tags of `repository`, as full references, each with every name under which the node keeps it.

    Besides the reference, that is the name by which Kubernetes knows the image, its ID. Without both of them gone, the
    image would stay. An ID that a tag of another repository has as well is none of ours.
    """
    repository = canonical(repository)
    ours = [image for image in images if image.name.rpartition(":")[0] == repository]
    identifiers = [image for image in images if image.name.startswith("sha256:")]
    elsewhere = {image.digest for image in images if image not in ours and image not in identifiers}
    return {
        tag.name: [tag.name]
        + [image.name for image in identifiers if image.digest == tag.digest and image.digest not in elsewhere]
        for tag in ours
    }


def manifest_ids(digest: str, manifest: str) -> list[str]:
    """Return what engines call the image of a manifest: its own digest, or that of its configuration."""
    try:
        configuration = json.loads(manifest).get("config", {}).get("digest")
    except ValueError:
        configuration = None
    return [digest, configuration] if configuration else [digest]


def lacking(companions: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the companions that are not among the names of a node's images."""
    present = set(map(canonical, names))
    return [companion for companion in companions if canonical(companion) not in present]


def node_copy(run: Run, node: str, reference: str, companions: Iterable[str] = ()) -> dict[str, Any]:
    """Return a node's tags of the repository of `reference`, the IDs of its copy, and the companions that it lacks."""
    repository, _ = split(reference)
    full = canonical(reference)
    filters = [f'name~="^{canonical(repository)}:"', *(f'name=="{canonical(name)}"' for name in companions)]
    command = ["docker", "exec", node, "sh", "-euc", _LIST_NODE, "sh", full, *filters]
    output = output_of(run, command, f"Node {node} cannot list its images", f"Look at `docker logs {node}`")
    listing, _, manifest = output.partition("\n\n")
    images = parse_listing(listing)
    digest = next((image.digest for image in images if image.name == full), "")
    # A manifest that is not there is a copy that cannot be used, so it counts as none.
    identifiers = manifest_ids(digest, manifest) if digest and manifest.strip() else []
    tags = [f"{repository}:{name.rpartition(':')[2]}" for name in names_of(images, repository)]
    lacks = lacking(companions, [image.name for image in images])
    return {"name": node, "references": sorted(tags), "ids": identifiers, "lacks": lacks}


def node_copies(run: Run, cluster: str, reference: str, companions: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return :func:`node_copy` of each running node; all are asked at the same time."""
    nodes = kind_nodes(run, cluster)
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda node: node_copy(run, node, reference, companions), nodes))


def minikube_command(parameters: dict[str, Any]) -> list[str]:
    """Return how minikube is called: the first program that is there, for one profile below one MINIKUBE_HOME."""
    known = parameters["minikube_programs"]
    program = next((found for found in map(shutil.which, known) if found), None)
    if not program:
        raise MachineError(f"minikube is neither of {', '.join(known)}: install it, or set image_minikube_binaries.")
    return ["env", f"MINIKUBE_HOME={parameters['minikube_home']}", program, "--profile", parameters["minikube_profile"]]


def minikube_nodes(parameters: dict[str, Any]) -> list[str]:
    """Return how minikube calls the nodes of a profile; none if there is no such profile."""
    home, profile = Path(parameters["minikube_home"]), parameters["minikube_profile"]
    folder = home if home.name == ".minikube" else home / ".minikube"
    try:
        nodes = json.loads((folder / "profiles" / profile / "config.json").read_text(encoding="utf-8"))["Nodes"]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [f"{profile}-{node['Name']}" if node.get("Name") and len(nodes) > 1 else profile for node in nodes]


def minikube_images(run: Run, command: list[str], node: str, single: bool) -> list[dict[str, Any]] | None:
    """Return the images of a node, each with id and repoTags; None if it does not run.

    minikube itself lists those of all nodes together, so of several nodes each is asked by itself.
    """
    alone = ["ssh", "--node", node, "--", "sudo", "crictl", "images", "--output", "json"]
    code, output, _ = run([*command, *(["image", "ls", "--format=json"] if single else alone)])
    if code:
        return None
    try:
        listed = json.loads(output)
    except ValueError:
        # Of a profile that does not run it tells in words for people.
        return None
    return (listed.get("images") if isinstance(listed, dict) else listed) or []


def minikube_copies(
    run: Run, command: list[str], nodes: list[str], reference: str, companions: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Return what :func:`node_copy` does, for each node of a profile that runs; all are asked at the same time."""
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
    """Return the digest of an image's configuration, from what `docker image save` writes; empty if it has none."""
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        for member in tar:
            if member.name == "manifest.json" and (file := tar.extractfile(member)):
                digest = json.loads(file.read())[0]["Config"].rpartition("/")[2].removesuffix(".json")
                return f"sha256:{digest}"
    return ""


def saved_configuration_id(reference: str) -> str:
    """Return :func:`configuration_id` of an image of the engine; empty if it cannot be saved."""
    command = ["docker", "image", "save", reference]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            return configuration_id(process.stdout) if process.stdout else ""
        except (tarfile.TarError, ValueError, LookupError):
            return ""
        finally:
            process.kill()


def known_to(engine: str, nodes: list[dict[str, Any]], configuration: Callable[[], str]) -> list[dict[str, Any]]:
    """Return the nodes, with the engine's own ID of an image among theirs where both have the same one.

    Engines with containerd's image store call an image by its manifest, which minikube writes anew. The configuration
    stays the same; to ask for it takes a while, so that is done only where it decides.
    """
    if not engine or all(not node["ids"] or engine in node["ids"] for node in nodes):
        return nodes
    same = configuration()
    return [node | {"ids": [*node["ids"], engine]} if same in node["ids"] else node for node in nodes]


def registry_copy(run: Run, reference: str) -> dict[str, Any]:
    """Return digest, IDs and context of the image that a registry has under `reference`; nothing if it has none."""
    inspect = ["docker", "buildx", "imagetools", "inspect"]
    code, output, error = run([*inspect, "--format={{ json . }}", reference])
    if not code:
        try:
            answer = json.loads(output)
            digest = answer["manifest"]["digest"]
        except (ValueError, LookupError, TypeError):
            thing, end = f"The registry's answer about {reference}", f"{output[-60:]!r}"
            raise MachineError(thing, f"is incomplete: {end}", "Run this again") from None
        _, manifest, _ = run([*inspect, "--raw", reference])
        return {"digest": digest, "ids": manifest_ids(digest, manifest), "context": label_of(answer.get("image") or {})}
    reason = last_line(error).removeprefix("ERROR: ")
    if reason.endswith("not found") or "name unknown" in reason:
        return {}
    is_refused = re.search("unauthorized|forbidden|denied|credentials", reason, re.IGNORECASE)
    advice = "Log in to it with `docker login`" if is_refused else "Look whether it is up"
    raise MachineError(f"The registry cannot be asked for {reference}: {reason}. {advice}, then run this again.")


def label_of(image: dict[str, Any]) -> str:
    """Return our label of an image's configuration, or of the first if there is one for each platform."""
    configurations = [image] if "config" in image else [value for value in image.values() if "config" in value]
    return (configurations[0]["config"].get("Labels") or {}).get(LABEL, "") if configurations else ""


def outdated(references: Iterable[str], newest_first: Iterable[str], wanted: Iterable[str], keep: int) -> list[str]:
    """Return which of `references` may go.

    Those of `wanted` stay, and so do as many others, from the newest on, as make `keep` in all. What has no place in
    `newest_first` counts as older than all that have.
    """
    known = list(newest_first)
    order = sorted(references, key=lambda name: (known.index(name) if name in known else len(known), name))
    wanted = set(wanted)
    room = keep - sum(name in wanted for name in order)
    others = [name for name in order if name not in wanted]
    return others[max(room, 0) :]


def removals(run: Run, parameters: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Return what is to be removed: the place, the reference, and the command that does it."""
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
        # Two tags can be one image; its other name must stay as long as one of them does.
        shared = {name for tag, every in tags.items() if tag not in old for name in every}
        found += [(node, tag, [*inside, "rm", *(name for name in tags[tag] if name not in shared)]) for tag in old]
    if parameters["minikube_profile"]:
        command, nodes = minikube_command(parameters), minikube_nodes(parameters)
        # minikube removes from all nodes at once.
        tags = {
            tag for node in minikube_copies(run, command, nodes, parameters["reference"]) for tag in node["references"]
        }
        old = outdated(tags, newest_first, wanted, keep)
        found += [(parameters["minikube_profile"], tag, [*command, "image", "rm", tag]) for tag in old]
    return found


def left_over(run: Run, parameters: dict[str, Any], removed: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return what a profile of minikube still has of what was removed: it ends well whatever became of that."""
    profile = parameters["minikube_profile"]
    asked = [entry for entry in removed if entry["place"] == profile]
    if not profile or not asked:
        return []
    command, nodes = minikube_command(parameters), minikube_nodes(parameters)
    nodes_left = minikube_copies(run, command, nodes, parameters["reference"])
    there = {tag for node in nodes_left for tag in node["references"]}
    return [entry for entry in asked if entry["reference"] in there]
