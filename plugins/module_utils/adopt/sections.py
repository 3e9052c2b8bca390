# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Sections of an inventory, from the findings about a project."""

import posixpath
import re
import shlex
from collections.abc import Iterator

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt import processes as found_processes
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.local_settings import local_settings
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.names import Name
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.project import Project
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.writing import Page, flow, plain

# Packages that connect to other servers, and what for.
ONLINE = {
    "sentry-sdk": "Sentry",
    "stripe": "Stripe",
    "boto3": "AWS",
    "django-storages": "object storage",
    "openai": "OpenAI",
    "google-cloud-storage": "Google Cloud",
    "django-anymail": "a mail API",
    "twilio": "Twilio",
    "pygithub": "GitHub",
    "social-auth-core": "login providers",
    "django-allauth": "login providers",
    "requests": "other sites",
    "httpx": "other sites",
}
IMAGE = (
    'app_image: "{{ app_image_repository }}:'
    "{{ lookup('cloud_django.kubernetes.image_tag', image_context, arguments=image_build_arguments) }}\""
)


def image(page: Page, project: Project, lock: str) -> None:
    """Write how the image is built."""
    page.title("Image")
    page.comment("Repository and tag of the image. The tag is a hash of the image's content.")
    own = [block for block in project.inherited.blocks if re.search(r"(?m)^app_image_repository:", block)]
    page.raw(own[0] if own else "app_image_repository: localhost/{{ cluster_name }}/{{ app_name }}")
    page.raw(IMAGE)
    page.comment(
        "Build context: the directory of the project. A .dockerignore there keeps files out of the image and its hash."
    )
    page.set("image_context", str(project.tree.root))
    if project.uses_python_image:
        _python_image(page, project, lock)
    elif project.dockerfile:
        path = str(project.dockerfile.path)
        page.set(
            "image_file",
            path,
            "The Dockerfile of the project." if path == "Dockerfile" else "A guess: the Dockerfile of the site.",
        )
        base = project.inherited.base_image if "BASE_IMAGE" in project.dockerfile.arguments else ""
        page.raw(f"image_build_arguments: {{BASE_IMAGE: {flow_text(base)}}}" if base else "image_build_arguments: {}")


def flow_text(text: str) -> str:
    """Return a text of another inventory on one line, with its expressions."""
    return f'"{text}"' if '"' not in text else f"'{text}'"


def _python_image(page: Page, project: Project, lock: str) -> None:
    source = project.packages.source or "no file of the project, so that they are a guess"
    page.comment(f"An image with Python, the requirements from {source}, and the project in {project.root}.")
    page.raw("image_file: python")
    base = (
        project.inherited.base_image or "{{ registry_mirror | default('docker.io') }}/library/python:3.13-slim-trixie"
    )
    page.raw(f"image_build_arguments: {{BASE_IMAGE: {flow_text(base)}}}")
    page.raw("image_python:")
    if project.locked:
        page.comment(
            f"{lock} beside this directory has the versions of {project.packages.source}. Rewrite it after a change.",
            "  ",
        )
        added = ", ".join(f"'{each}'" for each in project.requirements)
        lines = f"lookup('ansible.builtin.file', inventory_dir ~ '/{lock}') | split('\\n')"
        page.raw(f'  requirements: "{{{{ {lines}{f" + [{added}]" if added else ""} }}}}"')
    else:
        page.raw(f"  requirements: {flow(project.requirements)}")
    build, run = project.debian
    if run:
        page.comment("Debian packages that the Python packages need to run.", "  ")
        page.raw(f"  packages: {flow(run)}")
    if installed := project.dockerfile_packages:
        page.comment("The Dockerfile also installs these, which can be for the build only:", "  ")
        page.raw(f"  # packages: {plain(flow(installed))}")
    if build:
        page.comment("Debian packages that compile Python packages. They are not in the image.", "  ")
        page.raw(f"  build_packages: {flow(build)}")
    if collect := _collect(project):
        page.comment("Collects static files during the build, with values that only this command uses.", "  ")
        page.raw(f"  collect: {flow(collect)}")


def _collect(project: Project) -> str:
    """Return the command that collects static files in the build; empty if no file is needed before the site starts."""
    if not project.settings.has_whitenoise or not project.settings.value("STATIC_ROOT") or not project.layout.manage:
        return ""
    values = {"DJANGO_SETTINGS_MODULE": project.layout.settings} if project.layout.settings else {}
    for name in project.names.values():
        if name.is_needed:
            values[name.name] = _throw_away(name)
    environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    return f"{environment} {shlex.join(project.layout.manage)} collectstatic --noinput".strip()


def _throw_away(name: Name) -> str:
    kinds = {"db": "sqlite://:memory:", "cache": "locmemcache://", "email": "consolemail://", "json": "{}", "dict": "",
             "int": "1", "float": "1", "bool": "False", "truth": "1", "url": "http://localhost"}  # fmt: skip
    if name.name.endswith("DATABASE_URL"):
        return "sqlite://:memory:"
    return kinds.get(name.kind, "collectstatic")


def project(page: Page, found: Project) -> None:
    """Write how the project starts its commands."""
    page.title("Project")
    page.raw("# Without the names that only projects made for Cloud Django read.\ndjango_contract: false")
    if found.layout.manage and found.layout.manage != ("python", "manage.py"):
        page.set(
            "django_manage", list(found.layout.manage), f"The management command, from {found.layout.manage_source}."
        )
    if found.layout.settings:
        page.set(
            "django_settings_module",
            found.layout.settings,
            f"The settings module, from {found.layout.settings_source}.",
        )
    elif found.layout.manage:
        page.set("django_settings_module", "shop.settings", "No settings module was found.", is_active=False)
    if found.python_path:
        page.set(
            "django_python_path",
            found.python_path,
            "Directories that the project imports from, those of the image included.",
        )
    file = found.dockerfile
    if file and not found.uses_python_image and not file.is_root and file.user_id:
        page.set("django_user_id", file.user_id, f"UID of {file.stage.user} in {file.path}.")


def environment(page: Page, found: Project) -> None:
    """Write the names that the project reads, with the source of each value."""
    if not found.names and not found.program_path:
        return
    page.title(f"Environment: {len(found.names)} names that the project reads")
    page.comment(
        "A value is text, or names its source: {from: database.address}, {secret: NAME OF A SECRET, key: KEY}, "
        "{value: TEXT FROM A VAULT}, or {template: TEXT WITH ${cache.url}}. docs/your-own-project.md lists all sources."
    )
    active = [name for name in found.names.values() if found.answers[name.name].is_active]
    opened = {name.name for name in found.open}
    path = found.program_path
    page.raw("django_environment:" if active or path else "django_environment: {}")
    if path:
        page.entry("PATH", path, "the programs that uv installs in the image")
    for name in active:
        answer = found.answers[name.name]
        about = f"{name.place}, {answer.comment}" if answer.comment else name.place
        page.entry(name.name, answer.value, about)
    if opened:
        page.comment(
            "Needed: the project does not start without these. Remove the # and set the source of each value.", "  "
        )
        for name in found.open:
            page.entry(name.name, found.suggestion(name), name.place, is_active=False)
    rest = [name for name in found.names.values() if name.name not in opened and not found.answers[name.name].is_active]
    if rest:
        page.comment("Optional: the project has a default, or does without.", "  ")
    for name in rest:
        answer = found.answers[name.name]
        page.entry(name.name, found.suggestion(name), f"{name.place}, {answer.comment}", is_active=False)


def local(page: Page, found: Project) -> None:
    """Write Python settings for what the environment does not decide."""
    if lines := local_settings(found):
        page.gap()
        comment = (
            "Python that is read after the settings module, for what the project does not read from the environment. "
            "A ${...} stands for a value of the site."
        )
        page.block("django_local_settings", lines, comment)


def _media(found: Project) -> str:
    path = found.settings.text("MEDIA_ROOT")
    path = posixpath.normpath(path) if path.startswith("/") else ""
    return "" if not path or found.has_code(path) else path


def files(page: Page, found: Project) -> None:
    """Write the directories that the project writes to."""
    media = "" if found.settings.has_remote_uploads else _media(found)
    logs = {path for path in found.log_directories.values() if path != media and not found.has_code(path)}
    if not (media or logs or _has_uploads(found)):
        return
    page.title("Files")
    if media:
        comment = "Uploads (MEDIA_ROOT). With one node, ReadWriteOnce is enough for several pods. A size can only grow."
        if any("s3" in each.lower() or "gcloud" in each.lower() for each in found.settings.storages):
            comment += " Remove the volume if the project stores uploads in object storage."
        page.set("django_volumes", {"media": {"path": media, "size": "1Gi"}}, comment, not found.is_guess(media))
    elif _has_uploads(found) and not found.settings.has_remote_uploads:
        value = {"media": {"path": f"{found.root}/media", "size": "1Gi"}}
        page.set(
            "django_volumes",
            value,
            "Models have files, but MEDIA_ROOT was not found. Uploads need a volume.",
            is_active=False,
        )
    if logs:
        page.set(
            "django_writable",
            {path: {} for path in sorted(logs)},
            "LOGGING writes files there. They are gone with each pod.",
            not any(map(found.is_guess, logs)),
        )


def _has_uploads(found: Project) -> bool:
    return any(
        re.search(r"\b(File|Image)Field\(", found.tree.text(path))
        for path in found.tree.named("models.py", "models/*.py")
    )


def web(page: Page, found: Project) -> None:
    """Write how the site starts, and what the front does for it."""
    page.title("Web pods")
    if found.server:
        source = (
            f"{', '.join(found.start.scripts) or 'the Procfile or the Dockerfile'}" if found.start.server else "a guess"
        )
        page.set(
            "web_command",
            found.server,
            f"The server ({source}). The roles set its address, its processes, and the port in PORT.",
        )
    else:
        page.comment("The server is that of the image. It has to listen on the port in PORT, which is web_port (8000).")
    page.set(
        "web_ready_path",
        found.ready.path,
        f"The page that a pod is ready with, from {found.ready.source}. It answers 200 without a login.",
    )
    statics, comment = _statics(found)
    if statics:
        page.set("web_statics", statics, comment, not any(map(found.is_guess, statics.values())))
    elif comment:
        page.comment(comment)
    if _media(found) or _has_uploads(found):
        page.set("web_front_body_limit", 10485760, "Largest upload in bytes. A larger request gets status 413.")


def _statics(found: Project) -> tuple[dict[str, str], str]:
    """Return the directories that the front serves, and why."""
    statics: dict[str, str] = {}
    settings = found.settings
    media = _media(found)
    comment = ""
    if media and not settings.has_remote_uploads:
        statics[_url(settings.text("MEDIA_URL"), "/media/")] = media
        comment = "The front serves uploads (MEDIA_URL), so anyone who knows a URL can read them."
    if not settings.has_whitenoise and not found.adds_whitenoise and found.layout.settings:
        root = settings.text("STATIC_ROOT")
        if root.startswith("/"):
            statics[_url(settings.text("STATIC_URL"), "/static/")] = root.rstrip("/")
            comment += " It also serves static files (STATIC_ROOT), which the build of the image has to collect."
        else:
            comment += (
                " No part of the project serves static files. Add WhiteNoise, or set STATIC_ROOT and collect them."
            )
    return statics, comment.strip()


def _url(text: str, default: str) -> str:
    path = text.strip("/")
    return f"/{path}/" if re.fullmatch(r"[\w.~/-]+", path) else default


def processes(page: Page, found: Project) -> None:
    """Write workers and schedules."""
    page.title("Background processes")
    known = {each.name: _worker(each) for each in found.workers if each.is_known}
    if known:
        page.comment("Workers, each with pods of its own. A single one never runs twice, not even during a rollout.")
        page.raw("processes_workers:")
        for worker in found.workers:
            line = f"{worker.name}: {flow(_worker(worker))}  # {plain(worker.source)}"
            page.raw(f"  {line}" if worker.is_known else f"  # {line}")
    else:
        page.raw("# No worker was found. One for Celery:")
        page.raw("# processes_workers: {celery: {command: [celery, --app=shop, worker]}}")
    page.comment("Commands at certain times. `manage` stands for django_manage. Remove the # of those that you want.")
    page.raw("# processes_schedules:")
    for schedule in found.schedules:
        value = {"schedule": schedule.schedule, "command": list(schedule.command)}
        page.raw(f"#   {schedule.name}: {plain(flow(value))}  # {plain(schedule.source)}")
    page.raw('#   sessions: {schedule: "15 3 * * *", command: [manage, clearsessions]}  # removes expired sessions')


def _worker(worker: found_processes.Process) -> dict[str, object]:
    return {"command": list(worker.command)} | ({"single": True} if worker.is_single else {})


def release(page: Page, found: Project) -> None:
    """Write what a release does before the pods start, and the superuser."""
    page.title("Release")
    after = list(_after_migrations(found))
    if after:
        page.set(
            "migrations_commands",
            after,
            "Management commands after the migrations: a table for the cache in the database.",
        )
    else:
        page.raw(
            "# Management commands after the migrations, for example [[loaddata, categories]].\nmigrations_commands: []"
        )
    apps = found.settings.apps
    if apps and "django.contrib.auth" not in apps and not found.settings.text("AUTH_USER_MODEL"):
        page.raw("# INSTALLED_APPS has no django.contrib.auth, so the project has no users.\nsuperuser_state: absent")
        return
    field, required = found.user
    if field == "email":
        page.set("superuser_username", "admin@example.org", "The user model logs in by email.")
    if others := [each for each in required if each not in ("email", "username", field)]:
        page.set(
            "superuser_fields", {each: "" for each in others}, "Fields that the user model requires.", is_active=False
        )


def _after_migrations(found: Project) -> Iterator[list[str]]:
    caches = found.settings.value("CACHES")
    backends = (
        [str(each.get("BACKEND")) for each in caches.values() if isinstance(each, dict)]
        if isinstance(caches, dict)
        else []
    )
    if any("DatabaseCache" in backend for backend in backends):
        yield ["createcachetable"]


def servers(page: Page, found: Project) -> None:
    """Write the cache, the extensions of the database, and the connections to other servers."""
    page.title("Servers")
    waiting = found_processes.remote_queues(found.workers)
    if found.uses_cache or waiting:
        purpose = "queue" if waiting or (found.workers and found_processes.keeps_tasks(found.settings)) else "cache"
        page.comment(
            "A cache in the cluster. Few projects can be configured to verify its certificate, so it is without TLS."
        )
        page.raw("cache_state: present\ncache_tls: false")
        if purpose == "queue":
            page.raw("# The cache keeps tasks, so it writes them to a volume.\ncache_purpose: queue")
    else:
        page.raw("# No name of the project has the address of a cache.\ncache_state: absent")
    if found.extensions:
        page.set("database_extensions", found.extensions, "Extensions that the migrations create.")
    online = sorted({reason for name, reason in ONLINE.items() if found.packages.has(name)})
    reason = (
        f"The packages of the project connect to {', '.join(online)}." if online else "No package needs one for sure."
    )
    page.comment(f"Connections to other servers are closed. {reason}")
    page.raw("# django_egress: {https: {ports: [443]}}")
    page.comment("Server for email. It also needs an entry in django_egress: {mail: {ports: [587]}}")
    page.raw('# app_email: {host: smtp.example.org, port: 587, user: shop, password: "{{ vault_email_password }}"}')
