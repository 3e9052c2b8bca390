# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""All findings about a project, and the decisions that follow from them."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt import (
    answers,
    commands,
    containers,
    pages,
    processes,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.answers import Answer, Context
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.errors import AdoptError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.inherited import Inherited
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.layout import Layout, layout
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.names import Name
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.packages import (
    Packages,
    driver_missing,
    extensions,
    packages,
    without,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.settings import Settings, settings
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.syntax import dotted, literal, text_of

# Working directory of the image that is built from requirements alone.
WORKDIR = PurePosixPath("/app")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Project:
    """A project, as its files describe it."""

    tree: Tree
    site: str
    dockerfile: containers.Dockerfile | None
    uses_python_image: bool
    layout: Layout
    settings: Settings
    start: commands.Start
    packages: Packages
    inherited: Inherited
    workers: list[processes.Process] = field(default_factory=list)
    schedules: list[processes.Schedule] = field(default_factory=list)

    @cached_property
    def root(self) -> PurePosixPath:
        """Directory of the project in the image."""
        return root_of(self.dockerfile, self.uses_python_image)

    def is_guess(self, path: str) -> bool:
        """Return whether a path is in the directory of the project, and the Dockerfile does not set it."""
        is_known = self.uses_python_image or not self.dockerfile or self.dockerfile.stage.has_workdir
        return not is_known and PurePosixPath(path).is_relative_to(self.root)

    @cached_property
    def names(self) -> dict[str, Name]:
        """Names in the environment, those of the settings first."""
        return {name: found for name, found in self.settings.names.items() if VARIABLE.fullmatch(name)}

    @cached_property
    def answers(self) -> dict[str, Answer]:
        """The answer of each name."""
        image = {} if self.uses_python_image or not self.dockerfile else self.dockerfile.stage.environment
        context = Context(self.site, self.names, image, answers.cache_numbers(self.names))
        return {name: answers.answer(found, context) for name, found in self.names.items()}

    @cached_property
    def open(self) -> list[Name]:
        """Names that the project needs, and that a person has to fill in."""
        return [
            name
            for name in self.names.values()
            if name.is_needed and not self.answers[name.name].is_active and self.answers[name.name].needs != "roles"
        ]

    def suggestion(self, name: Name) -> object:
        """Return the value, or an example of one, for a name whose line is a comment."""
        if (value := self.answers[name.name].value) is not None:
            return value
        return answers.suggestion(name, Context(self.site, self.names, {}, {}))

    @cached_property
    def uses_cache(self) -> bool:
        """Whether a value comes from the cache."""
        by_name = any(found.needs == "cache" and found.is_active for found in self.answers.values())
        return by_name or bool(self.fixed_redis)

    @cached_property
    def fixed_redis(self) -> list[str]:
        """Settings with the address of a Redis server on the developer's machine."""
        names = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "BROKER_URL", "CACHES")
        found = []
        for name in names:
            value = self.settings.value(name)
            text = value.get("default") if name == "CACHES" and isinstance(value, dict) else value
            text = text.get("LOCATION") if isinstance(text, dict) else text
            if isinstance(text, str) and text.startswith(("redis://", "rediss://")):
                found.append(name)
        return found

    @cached_property
    def server(self) -> list[str]:
        """The command of the web server; empty for that of the image."""
        return _server(self)

    @cached_property
    def adds_whitenoise(self) -> bool:
        """Whether the inventory adds WhiteNoise, because no part of the project serves static files in production."""
        return self.uses_python_image and not self.settings.has_whitenoise and bool(self.layout.settings)

    @cached_property
    def replaces_database(self) -> bool:
        """Whether the inventory replaces the database of the settings, which the environment cannot change."""
        reads_environment = self.settings.is_from_environment("DATABASES")
        return bool(self.layout.settings) and bool(self.settings.engines) and not reads_environment

    @cached_property
    def extensions(self) -> list[str]:
        """PostgreSQL extensions that the migrations create."""
        return extensions(self.tree)

    @cached_property
    def ready(self) -> pages.Ready:
        """The path of the readiness probe."""
        return pages.ready(self.tree, self.layout, self.settings)

    @cached_property
    def requirements(self) -> list[str]:
        """Requirements of the image that is built from them, without those of a lock."""
        wanted = list(self.packages.requirements) if not self.packages.locked else []
        if not self.packages.source:
            wanted = ["django"]
        program = self.server[0] if self.server else "gunicorn"
        if not self.packages.has(program):
            wanted.append(program)
        if driver_missing(self.packages):
            wanted.append("psycopg[binary]")
        if self.adds_whitenoise and not self.packages.has("whitenoise"):
            wanted.append("whitenoise")
        return wanted

    @cached_property
    def locked(self) -> list[str]:
        """Requirements of a lock. The server uWSGI is left out if another one runs, because it has to be compiled."""
        runs_uwsgi = bool(self.server) and self.server[0] in ("uwsgi", "pyuwsgi")
        return self.packages.locked if runs_uwsgi else without(self.packages.locked, "uwsgi", "pyuwsgi")

    @cached_property
    def debian(self) -> tuple[list[str], list[str]]:
        """Debian packages for the build and for the site."""
        runs_uwsgi = bool(self.server) and self.server[0] in ("uwsgi", "pyuwsgi")
        # A lock is written without a server that does not run.
        dropped = {"uwsgi", "pyuwsgi"} if self.packages.locked and not runs_uwsgi else set()
        build, run = Packages(names=self.packages.names - dropped).debian
        return build, [each for each in run if runs_uwsgi or not each.startswith("libpython")]

    @cached_property
    def log_directories(self) -> dict[str, str]:
        """Directories that LOGGING writes to, by the names of its handlers, without those that are always writable."""
        found = {name: str(PurePosixPath(path).parent) for name, path in self.settings.log_files.items()}
        always = ("/tmp", "/dev", "/proc", "/run")
        return {
            name: path
            for name, path in found.items()
            if not f"{path}/".startswith(tuple(f"{each}/" for each in always))
        }

    def has_code(self, directory: str) -> bool:
        """Return whether a directory of the image has files of the project, which a volume would hide."""
        path = PurePosixPath(directory)
        if not path.is_relative_to(self.root):
            return self.root.is_relative_to(path)
        below = path.relative_to(self.root)
        return any(file.is_relative_to(below) and file.suffix == ".py" for file in self.tree.files)

    @cached_property
    def python_path(self) -> list[str]:
        """Directories for PYTHONPATH: those of the image, because the pods set it again, and that of the project."""
        image = {} if self.uses_python_image or not self.dockerfile else self.dockerfile.stage.environment
        found = [each.rstrip("/") for each in image.get("PYTHONPATH", "").split(":") if each and "$" not in each]
        own = [str(self.root / self.layout.directory)] if self.layout.directory.parts else []
        return list(dict.fromkeys([*found, *own]))

    @cached_property
    def program_path(self) -> str:
        """PATH of the image's programs, if the image has them in a directory that only `uv run` finds; else empty."""
        if self.uses_python_image or not self.dockerfile or not self.start.runs_runner.startswith("uv"):
            return ""
        values = self.dockerfile.stage.environment
        directory = values.get("UV_PROJECT_ENVIRONMENT", f"{self.root}/.venv")
        if f"{directory}/bin" in values.get("PATH", ""):
            return ""
        return f"{self.root / directory}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    @cached_property
    def dockerfile_packages(self) -> list[str]:
        """Debian packages of the project's Dockerfile, if the inventory does not use it."""
        if not self.dockerfile or not self.uses_python_image:
            return []
        return [each for each in self.dockerfile.debian if each not in [*self.debian[0], *self.debian[1]]]

    @cached_property
    def user(self) -> tuple[str, list[str]]:
        """USERNAME_FIELD and REQUIRED_FIELDS of the project's user model; those of Django for none."""
        return _user_model(self.tree, self.settings)

    @cached_property
    def notes(self) -> list[str]:
        """Sentences about what a person should know or check."""
        return [*_notes(self), *self.layout.notes, *self.packages.notes, *dict.fromkeys(self.tree.notes)]


def root_of(dockerfile: containers.Dockerfile | None, uses_python_image: bool) -> PurePosixPath:
    """Return the directory of the project in the image."""
    if uses_python_image or not dockerfile or not dockerfile.stage.has_workdir:
        return WORKDIR
    return PurePosixPath(dockerfile.stage.workdir)


def read(directory: Path, site: str, before: Inherited) -> Project:
    """Return a project. Raises AdoptError if there is none."""
    if not directory.is_dir():
        problem = "is not a directory" if directory.exists() else "does not exist"
        raise AdoptError(
            str(directory), problem, "Set PROJECT to the directory of a Django project, then rerun the command"
        )
    tree = Tree(directory)
    dockerfile = containers.find(tree)
    uses_python_image = dockerfile is None or (before.is_of_mirrors and _needs_registry(dockerfile))
    found = layout(tree, dockerfile.stage.environment if dockerfile else {})
    values = settings(tree, found, root_of(dockerfile, uses_python_image))
    project = Project(
        tree,
        site,
        dockerfile,
        uses_python_image,
        found,
        values,
        _start(tree, found, dockerfile),
        packages(tree, found.directory),
        before,
    )
    project.workers = processes.workers(tree, found, values)
    project.schedules = processes.schedules(tree, found)
    return project


def _needs_registry(dockerfile: containers.Dockerfile) -> bool:
    """Return whether the build needs an image that no inventory can replace."""
    return any(
        not image.startswith(("localhost/", "$")) and image != dockerfile.arguments.get("BASE_IMAGE")
        for image in dockerfile.images
    )


def _start(tree: Tree, found: Layout, dockerfile: containers.Dockerfile | None) -> commands.Start:
    """Return what starts the site: the `web` line of the Procfile, or the command of the image."""
    web = [entry.text for entry in processes.started(tree) if entry.name == "web" and entry.source == "Procfile"]
    stage = dockerfile.stage if dockerfile else None
    image = [words for words in ([stage.entrypoint, stage.command] if stage else []) if words]
    begun = commands.start(tree, found.manage, *image, *web)
    if not begun.server:
        served = [entry.text for entry in processes.started(tree) if entry.name in ("web", "django", "app", "backend")]
        other = commands.start(tree, found.manage, *served)
        return commands.Start(other.server, begun.scripts, begun.migrates, begun.runs_runner, begun.manage)
    return begun


def _server(project: Project) -> list[str]:
    begun = project.start.server
    is_installed = bool(begun) and (project.packages.has(begun[0]) or not project.uses_python_image)
    if begun and is_installed and begun[0] not in ("uwsgi", "pyuwsgi"):
        return commands.configured(begun)
    if begun and not project.uses_python_image:
        # With the options of the project, which can also have them in a file.
        return list(begun) if not any("$" in word for word in begun) else []
    if not project.uses_python_image and not project.start.migrates and not project.start.runs_runner:
        return []
    if project.layout.wsgi and not (project.layout.asgi and project.packages.has("daphne", "uvicorn", "channels")):
        return ["gunicorn", project.layout.wsgi]
    if project.layout.asgi:
        name = "daphne" if project.packages.has("daphne") and not project.packages.has("uvicorn") else "uvicorn"
        return commands.configured([name, f"{project.layout.asgi}:application"])
    return []


def _user_model(tree: Tree, found: Settings) -> tuple[str, list[str]]:
    app, _, model = found.text("AUTH_USER_MODEL").partition(".")
    for path in tree.named("models.py", "models/*.py", "user*.py") if model else []:
        if f"class {model}" not in tree.text(path) or (app not in path.parts and len(path.parts) > 2):
            continue
        for node in ast.walk(tree.python(path) or ast.Module([], [])):
            if isinstance(node, ast.ClassDef) and node.name == model:
                assigned = {dotted(each.targets[0]): each.value for each in node.body if isinstance(each, ast.Assign)}
                name = text_of(assigned.get("USERNAME_FIELD")) or "username"
                required = literal(assigned.get("REQUIRED_FIELDS"))
                return name, [str(each) for each in required] if isinstance(required, list | tuple) else ["email"]
    return "username", ["email"]


def _notes(project: Project) -> Iterator[str]:
    """Yield what an image, a command, or the settings do that a hardened pod does not allow."""
    file = project.dockerfile
    if file and project.uses_python_image:
        yield (
            f"{file.path} needs {', '.join(file.images)}, which no package mirror has. The inventory builds the image "
            f"from {project.packages.source or 'the requirements'} instead (image_file: python)."
        )
        if steps := list(_build_steps(project, file)):
            yield f"{file.path} also runs {', '.join(steps)}. Add what the site needs to collect."
    elif file:
        yield from _image_notes(project, file)
    if not project.uses_python_image and project.packages.source and driver_missing(project.packages):
        yield "No requirement connects to PostgreSQL. Add psycopg[binary] to the requirements of the project."
    if not project.packages.source and project.uses_python_image:
        yield "No requirements were found. Complete the list in image_python."
    if (waiting := processes.remote_queues(project.workers)) and not project.uses_cache:
        yield (
            f"The worker {waiting[0]} needs the address of its queue, and no name of the project has it. "
            "Set it from cache.url, in django_environment or in django_local_settings."
        )
    mail = [name.name for name in project.open if project.answers[name.name].needs == "email"]
    if mail:
        yield f"The project needs {', '.join(mail)}. Set app_email, and open its port in django_egress."
    if not project.layout.settings:
        yield "No settings module was found. Set django_settings_module, if the project does not choose it by itself."
    if not project.layout.manage:
        yield "No management command was found. Set django_manage, for instance [python, -m, shop]."
    engines = project.settings.engines - {"sqlite3", "postgresql", "postgresql_psycopg2", "postgis"}
    if engines and not project.settings.is_from_environment("DATABASES"):
        yield f"The settings use {', '.join(sorted(engines))}. The site has PostgreSQL, so test the project with it."
    if "postgis" in project.settings.engines or "postgis" in project.extensions:
        yield "The project needs PostGIS. Set postgresql_image to an image that has it."


def _build_steps(project: Project, file: containers.Dockerfile) -> Iterator[str]:
    """Yield the commands of the project in a Dockerfile, other than those of each build."""
    for run in file.stage.runs:
        for words in commands.segments(run):
            rest = commands.bare(words)[0]
            command = commands.management(rest, project.layout.manage)
            if command and command[1:2] not in (("collectstatic",), ("migrate",)):
                yield f"`{' '.join(command)}`"
            elif rest and rest[0] in ("npm", "yarn", "pnpm", "bun"):
                yield f"`{' '.join(rest[:3])}`"


def _image_notes(project: Project, file: containers.Dockerfile) -> Iterator[str]:
    begun = project.start
    if not file.stage.has_workdir:
        yield (
            f"The WORKDIR of {file.path} is unknown, so paths in {project.root} are a guess. "
            f"Replace {project.root} by the directory of the project in the image, and remove the # of these lines."
        )
    if begun.migrates:
        yield (
            f"The image migrates when it starts ({', '.join(begun.scripts) or file.path}). "
            "The inventory starts the server itself, and a Job migrates once for each release."
        )
    if begun.runs_runner:
        yield f"The image starts with `{begun.runs_runner}`, which writes files. The inventory leaves it out."
    if file.is_root:
        yield f"{file.path} has no USER, so it runs as root. Pods run as user 10001, which must be able to read it."
    elif file.user_id is None:
        yield f"The image runs as {file.stage.user}, a name. If user 10001 can't read its files, set django_user_id."
    for port in file.low_ports:
        yield f"{file.path} exposes port {port}, which only root can use. The server gets port 8000 (web_port)."
    if not project.server and begun.server:
        yield "The command of the image has variables of a shell. Check that the server listens on the port in PORT."
