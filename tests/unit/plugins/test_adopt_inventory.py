"""The inventory that `make adopt` writes: its variables, its comments, and what it takes from another inventory."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from adopt_cases import FROM_ENVIRONMENT, MANAGE, SETTINGS, Loader, adopted, make
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.adoption import adopt
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.inherited import inherited
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.writing import Page, flow

PROJECT = Path(__file__).parents[3]
PLACEHOLDER = re.compile(r"\$\{([a-z]+)\.([a-z_]+)(\|\w+)?\}")
GROUPS = {"database", "cache", "django", "superuser", "email", "site", "pod"}
# Contains a value of each kind that stays in its own inventory.
OTHER = """\
---
# The site.
app_name: polls
app_namespace: polls
app_public_url: https://polls.example.org
app_image_repository: registry.example.org/{{ app_name }}
image_context: /polls
image_build_arguments: {BASE_IMAGE: "localhost/cloud-django/python:3.13"}
image_pull_username: robot
image_pull_password: hunter2-pull
migrations_commands: [[load_demo_polls]]

# A comment of another section.

# The cluster of this machine.
cluster_provider: kind
cluster_name: polls-cluster
cluster_uid: "1234"
cluster_kubeadm_patches:
  # A comment inside.
  - {kind: KubeletConfiguration}

  - {kind: ClusterConfiguration}
cluster_join_token: hunter2-token
container_engine_options: {registry: {password: hunter2-nested}}
mirror_builds_enabled: true
postgresql_admin_password: hunter2-admin
postgresql_host: db.example.org
web_gateways: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  6162
django_environment: {API: hunter2-api}
"""


def main_file(result: dict) -> str:
    return next(file["content"] for file in result["files"] if file["path"] == "group_vars/all/main.yml")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    directory = tmp_path / "inventory" / "mirrors"
    (directory / "group_vars" / "all").mkdir(parents=True)
    (directory / "group_vars" / "all" / "main.yml").write_text(OTHER, encoding="utf-8")
    return directory


# ---- Projects without names in the environment -----------------------------------------------------------------------


def test_a_plain_project_gets_local_settings(tmp_path: Path) -> None:
    variables, result = adopted(tmp_path)
    lines = variables["django_local_settings"].splitlines()
    for name in ("DEBUG", "SECRET_KEY", "DATABASES", "ALLOWED_HOSTS", "SECURE_PROXY_SSL_HEADER", "MIDDLEWARE"):
        assert len([line for line in lines if line.startswith(f"{name} = ")]) == 1, name
    assert '"OPTIONS": {"service": "default"}' in variables["django_local_settings"]
    assert "django_environment" not in variables
    assert (variables["cache_state"], variables["web_ready_path"]) == ("absent", "/admin/login/")
    assert result["report"][0] == "Found 0 names in the environment, 0 needed and not answered."
    assert result["report"][-1].endswith("make up INVENTORY=inventory/shop")


def test_local_settings_are_python_once_they_are_filled_in(tmp_path: Path) -> None:
    settings = f'{SETTINGS}SECURE_SSL_REDIRECT = CSRF_COOKIE_SECURE = True\nCACHES = {{"default": {{"LOCATION": "redis://localhost"}}}}\n'
    variables, _ = adopted(tmp_path, {"shop/settings.py": settings})
    text = variables["django_local_settings"]
    assert {match[1] for match in PLACEHOLDER.finditer(text)} <= GROUPS
    ast.parse(PLACEHOLDER.sub(lambda match: "x" if match[0] == "${cache.url}" else '""', text))
    assert "SECURE_SSL_REDIRECT = ${site.url|json}.startswith" in text
    assert 'CACHES["default"]["LOCATION"] = "${cache.url}/1"' in text


def test_wagtail_gets_the_application_that_it_needs_on_postgresql(tmp_path: Path) -> None:
    settings = SETTINGS.replace('"django.contrib.admin"', '"wagtail.admin"')
    variables, _ = adopted(tmp_path, {"shop/settings.py": settings})
    assert 'INSTALLED_APPS += ["django.contrib.postgres"]' in variables["django_local_settings"]
    assert "WAGTAILADMIN_BASE_URL = ${site.url|json}" in variables["django_local_settings"]


def test_static_files_with_hashed_names_are_served_before_they_are_collected(tmp_path: Path) -> None:
    settings = f'{SETTINGS}STORAGES = {{"staticfiles": {{"BACKEND": "x.ManifestStaticFilesStorage"}}}}\n'
    variables, _ = adopted(tmp_path, {"shop/settings.py": settings})
    assert 'STORAGES["staticfiles"] = {"BACKEND"' in variables["django_local_settings"]


# ---- Projects with names in the environment --------------------------------------------------------------------------


def test_names_get_sources_and_the_rest_a_line_to_fill_in(tmp_path: Path) -> None:
    variables, result = adopted(tmp_path, {"shop/settings.py": FROM_ENVIRONMENT})
    assert variables["django_environment"] == {
        "SECRET_KEY": {"from": "django.secret_key"},
        "DEBUG": "False",
        "ALLOWED_HOSTS": {"from": "site.hosts", "separator": " "},
        "DB_HOST": {"from": "database.host"},
        "CSRF_TRUSTED_ORIGINS": {"from": "site.origins"},
    }
    assert "django_local_settings" not in variables
    assert result["needed"] == ["STRIPE_KEY"]
    number = int(re.search(r"STRIPE_KEY \(shop/settings.py:6\): line (\d+) of", "\n".join(result["report"]))[1])
    assert (
        main_file(result).splitlines()[number - 1].startswith("  # STRIPE_KEY: {secret: shop-secrets, key: stripe-key}")
    )


def test_static_files_are_collected_with_throw_away_values(tmp_path: Path) -> None:
    variables, _ = adopted(tmp_path, {"shop/settings.py": FROM_ENVIRONMENT})
    collect = variables["image_python"]["collect"]
    assert collect.startswith("DJANGO_SETTINGS_MODULE=shop.settings ")
    assert "STRIPE_KEY=collectstatic" in collect
    assert collect.endswith(" python manage.py collectstatic --noinput")


def test_each_line_to_fill_in_is_valid_once_its_mark_is_removed(tmp_path: Path) -> None:
    _, result = adopted(tmp_path, {"shop/settings.py": FROM_ENVIRONMENT})
    text = re.sub(r"(?m)^  # ([A-Z_]+: )", r"  \1", main_file(result))
    environment = yaml.load(text, Loader)["django_environment"]
    assert environment["STRIPE_KEY"] == {"secret": "shop-secrets", "key": "stripe-key"}


def test_values_of_environment_files_are_not_read(tmp_path: Path) -> None:
    _, result = adopted(
        tmp_path, {"shop/settings.py": FROM_ENVIRONMENT, ".env": "STRIPE_KEY=hunter2\n", "x.env": "A=hunter2\n"}
    )
    assert "hunter2" not in str(result)


# ---- Files, storage, and users ---------------------------------------------------------------------------------------


def test_uploads_get_a_volume_that_the_front_serves(tmp_path: Path) -> None:
    settings = f'{SETTINGS}MEDIA_ROOT = BASE_DIR / "media"\nMEDIA_URL = "/files/"\n'
    variables, _ = adopted(tmp_path, {"shop/settings.py": settings})
    assert variables["django_volumes"] == {"media": {"path": "/app/media", "size": "1Gi"}}
    assert variables["web_statics"] == {"/files/": "/app/media"}
    assert variables["web_front_body_limit"] > 256000


def test_uploads_in_object_storage_get_no_volume(tmp_path: Path) -> None:
    storage = 'STORAGES = {"default": {"BACKEND": "storages.backends.s3.S3Storage"}}\nMEDIA_ROOT = "/media"\n'
    variables, _ = adopted(tmp_path, {"shop/settings.py": SETTINGS + storage})
    assert "django_volumes" not in variables
    assert "web_statics" not in variables


def test_object_storage_that_only_the_environment_switches_on_keeps_the_volume(tmp_path: Path) -> None:
    storage = (
        'import os\nMEDIA_ROOT = "/media"\n'
        'STORAGES = {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"}}\n'
        'if "BUCKET" in os.environ:\n    STORAGES["default"]["BACKEND"] = "storages.backends.s3.S3Storage"\n'
    )
    assert "django_volumes" in adopted(tmp_path, {"shop/settings.py": SETTINGS + storage})[0]


def test_directories_of_log_files_are_writable(tmp_path: Path) -> None:
    logs = (
        'LOGGING = {"handlers": {"file": {"class": "logging.FileHandler", "filename": BASE_DIR / "logs" / "a.log"}}}\n'
    )
    variables, _ = adopted(tmp_path, {"shop/settings.py": SETTINGS + logs})
    assert variables["django_writable"] == {"/app/logs": {}}


@pytest.mark.parametrize("workdir", ["", "WORKDIR $APP_HOME\n"])
def test_paths_in_an_unknown_working_directory_are_comments(tmp_path: Path, workdir: str) -> None:
    settings = (
        f'{SETTINGS}MEDIA_ROOT = BASE_DIR / "media"\n'
        'LOGGING = {"handlers": {"file": {"class": "logging.FileHandler", "filename": BASE_DIR / "logs" / "a.log"}}}\n'
    )
    image = f"FROM registry.example.org/django:5\n{workdir}USER 1000\n"
    variables, result = adopted(tmp_path / "unknown", {"shop/settings.py": settings, "Dockerfile": image})
    assert variables.keys().isdisjoint({"django_writable", "django_volumes", "web_statics"})
    [page] = [file["content"] for file in result["files"] if file["path"] == "group_vars/all/main.yml"]
    for line in ("# django_writable: {/app/logs: {}}", "# django_volumes: {media: {path: /app/media, size: 1Gi}}"):
        assert line in page
    assert "The WORKDIR of Dockerfile is unknown, so paths in /app are a guess." in str(result["report"])
    known = image.replace(workdir, "") + "WORKDIR /code\n"
    variables, _ = adopted(tmp_path / "known", {"shop/settings.py": settings, "Dockerfile": known})
    assert variables["django_writable"] == {"/code/logs": {}}
    assert variables["django_volumes"]["media"]["path"] == "/code/media"


def test_absolute_paths_need_no_working_directory(tmp_path: Path) -> None:
    settings = f'{SETTINGS}MEDIA_ROOT = "/data/media"\n'
    variables, _ = adopted(tmp_path, {"shop/settings.py": settings, "Dockerfile": "FROM python:3.13\nUSER 1000\n"})
    assert variables["django_volumes"]["media"]["path"] == "/data/media"


def test_log_files_beside_the_code_become_the_console(tmp_path: Path) -> None:
    logs = 'LOGGING = {"handlers": {"file": {"class": "logging.FileHandler", "filename": BASE_DIR / "debug.log"}}}\n'
    variables, _ = adopted(tmp_path, {"shop/settings.py": SETTINGS + logs})
    assert "django_writable" not in variables
    assert 'LOGGING["handlers"]["file"] = {"class": "logging.StreamHandler"}' in variables["django_local_settings"]


def test_uploads_beside_the_code_get_no_volume_that_hides_it(tmp_path: Path) -> None:
    settings = f'{SETTINGS}MEDIA_ROOT = BASE_DIR / "shop"\n'
    assert "django_volumes" not in adopted(tmp_path, {"shop/settings.py": settings})[0]


def test_a_user_model_with_an_email_address_as_name_is_found(tmp_path: Path) -> None:
    model = 'class User(AbstractUser):\n    USERNAME_FIELD = "email"\n    REQUIRED_FIELDS = ["country"]\n'
    changes = {"shop/settings.py": f'{SETTINGS}AUTH_USER_MODEL = "accounts.User"\n', "accounts/models.py": model}
    variables, result = adopted(tmp_path, changes)
    assert variables["superuser_username"] == "admin@example.org"
    assert "# superuser_fields: {country: ''}" in main_file(result).splitlines()


def test_an_asynchronous_server_is_found(tmp_path: Path) -> None:
    changes = {"Procfile": "web: uvicorn shop.asgi:application\n", "requirements.txt": "django\nuvicorn\n"}
    variables, _ = adopted(tmp_path, changes)
    assert variables["web_command"][:2] == ["uvicorn", "shop.asgi:application"]


def test_a_project_without_users_gets_no_superuser(tmp_path: Path) -> None:
    settings = SETTINGS.replace('"django.contrib.auth", ', "")
    assert adopted(tmp_path, {"shop/settings.py": settings})[0]["superuser_state"] == "absent"
    assert "superuser_state" not in adopted(tmp_path / "b")[0]


# ---- Another inventory -----------------------------------------------------------------------------------------------


def test_the_cluster_of_another_inventory_is_taken_over_without_its_site(tmp_path: Path, other: Path) -> None:
    variables, result = adopted(tmp_path, other=other)
    assert variables["cluster_provider"] == "kind"
    assert variables["cluster_kubeadm_patches"] == [{"kind": "KubeletConfiguration"}, {"kind": "ClusterConfiguration"}]
    assert variables["postgresql_host"] == "db.example.org"
    assert (variables["app_name"], variables["app_public_url"]) == ("shop", "")
    assert variables["image_context"] == str(tmp_path / "shop")
    assert variables["migrations_commands"] == []
    assert not {"cluster_name", "cluster_uid", "django_environment"} & variables.keys()
    text = main_file(result)
    assert "app_image_repository: registry.example.org/{{ app_name }}\n" in text
    assert "  # A comment inside.\n" in text
    assert "# The cluster of this machine.\n" in text
    assert "# A comment of another section." not in text


def test_no_secret_of_another_inventory_is_taken_over(tmp_path: Path, other: Path) -> None:
    (other / "group_vars" / "all" / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n", encoding="utf-8")
    variables, result = adopted(tmp_path, other=other)
    assert "hunter2" not in str(result)
    assert "6162" not in str(result)
    secret = {
        "cluster_join_token",
        "container_engine_options",
        "postgresql_admin_password",
        "image_pull_password",
        "web_gateways",
    }
    assert not secret & variables.keys()
    for name in secret:
        assert f"# {name} was not taken from inventory/mirrors" in main_file(result)
        assert any(line.endswith(f": {name}.") for line in result["report"])


def test_the_pin_of_an_existing_cluster_is_taken_over(tmp_path: Path, other: Path) -> None:
    file = other / "group_vars" / "all" / "main.yml"
    file.write_text("cluster_provider: existing\ncluster_context: a\n", encoding="utf-8")
    file.with_name("pin.yml").write_text(
        '---\ncluster_server: https://10.0.0.1\ncluster_uid: "1234"\n', encoding="utf-8"
    )
    variables, _ = adopted(tmp_path, other=other)
    assert (variables["cluster_server"], variables["cluster_uid"]) == ("https://10.0.0.1", "1234")


def test_an_image_that_no_mirror_has_is_replaced(tmp_path: Path, other: Path) -> None:
    dockerfile = {
        "Dockerfile": "FROM python:3.13\nRUN npm run build\nRUN python manage.py compress\nCMD gunicorn shop.wsgi\n"
    }
    variables, result = adopted(tmp_path, dockerfile, other)
    assert variables["image_file"] == "python"
    assert variables["image_build_arguments"] == {"BASE_IMAGE": "localhost/cloud-django/python:3.13"}
    assert any("python:3.13, which no package mirror has" in line for line in result["report"])
    assert any("`npm run build`, `manage compress`" in line for line in result["report"])


def test_an_image_whose_base_can_be_replaced_is_built(tmp_path: Path, other: Path) -> None:
    text = "ARG BASE_IMAGE=python:3.13\nFROM ${BASE_IMAGE}\nCMD gunicorn shop.wsgi\n"
    variables, _ = adopted(tmp_path, {"Dockerfile": text}, other)
    assert variables["image_file"] == "Dockerfile"
    assert variables["image_build_arguments"] == {"BASE_IMAGE": "localhost/cloud-django/python:3.13"}


@pytest.mark.parametrize("name", ["minikube", "kind", "mirrors", "example_cloud"])
def test_each_inventory_of_the_repository_can_be_the_other_one(tmp_path: Path, name: str) -> None:
    directory = PROJECT / "inventory" / name
    variables, _ = adopted(tmp_path, other=directory)
    before = yaml.safe_load((directory / "group_vars" / "all" / "main.yml").read_text(encoding="utf-8"))
    shared = {key: value for key, value in before.items() if key.startswith(("cluster_", "mirror_builds_"))}
    assert variables.items() >= shared.items()
    assert not any("password" in key for key in variables)
    assert inherited(directory).base_image


# ---- Text of the project ---------------------------------------------------------------------------------------------


def test_no_text_of_a_project_is_a_template(tmp_path: Path) -> None:
    name = "{{ lookup('pipe', 'touch hacked') }}"
    changes = {
        "Procfile": f"web: gunicorn shop.wsgi '{name}'\nq: python manage.py qcluster '{name}'\n",
        "shop/settings.py": f'{SETTINGS}MEDIA_ROOT = "/{name}"\nMEDIA_URL = "/{{% x %}}/"\n',
        "requirements.txt": "gunicorn\npsycopg2\n",
    }
    result = adopt(str(make(tmp_path / name.replace("/", "") / "shop", changes)), "", tmp_path / "inventory", None)
    variables = yaml.load(main_file(result), Loader)
    texts = str(
        [
            variables[key]
            for key in ("web_command", "processes_workers", "image_context", "django_volumes", "web_statics")
        ]
    )
    assert (texts.count("unsafe "), texts.count("{{"), texts.count("{%")) == (5, 5, 0)


@pytest.mark.parametrize("name", ["A\nevil: true", "A B", "A-B", "1A", ""])
def test_a_name_that_is_no_variable_is_left_out(tmp_path: Path, name: str) -> None:
    variables, _ = adopted(tmp_path, {"shop/settings.py": f"{SETTINGS}import os\nX = os.environ[{name!r}]\n"})
    assert "django_environment" not in variables
    assert "evil" not in variables


def test_a_comment_ends_where_it_should(tmp_path: Path) -> None:
    page = Page()
    page.comment("a\nb: c\u2028d\x00")
    page.entry("A", "x", "a\nb: c", is_active=False)
    page.entry("B", "\n", f"{'word ' * 40}\n", is_active=False)
    assert yaml.safe_load(page.text) is None


@pytest.mark.parametrize(
    "value", ["False", "", "0123", "1e5", "null", "a: b", "# a", "é", "*x", {"a": ["b"]}, ["-c", "x y"]]
)
def test_values_stay_what_they_are(value: object) -> None:
    assert yaml.safe_load(flow(value)) == value


def test_the_project_is_only_read(tmp_path: Path) -> None:
    root = make(
        tmp_path / "shop", {"shop/settings.py": f"{SETTINGS}raise SystemExit(1)\n", "manage.py": f"{MANAGE}1 / 0\n"}
    )

    def state() -> list[tuple[str, str, float]]:
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        return [(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime) for path in files]

    before = state()
    adopt(str(root), "", tmp_path / "inventory", None)
    assert state() == before
    assert not (tmp_path / "inventory").exists()


# ---- Variables and playbook ------------------------------------------------------------------------------------------


def test_the_playbook_shows_writes_and_never_overwrites(tmp_path: Path) -> None:
    make(tmp_path / "my shop", {"shop/settings.py": FROM_ENVIRONMENT})
    (tmp_path / "playbooks" / "shared").mkdir(parents=True)
    for name in ("adopt.yml", "shared/inventory.yml"):
        (tmp_path / "playbooks" / name).write_text(
            (PROJECT / "playbooks" / name).read_text(encoding="utf-8"), encoding="utf-8"
        )

    def play(*arguments: str) -> tuple[int, str]:
        ended = subprocess.run(
            [
                *(Path(sys.executable).with_name("ansible-playbook"), f"--inventory={PROJECT}/inventory/kind"),
                *(tmp_path / "playbooks" / "adopt.yml", *arguments),
            ],
            cwd=PROJECT,
            env=os.environ | {"PROJECT": f"{tmp_path}/my shop", "SITE": "shop", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return ended.returncode, " ".join((ended.stdout + ended.stderr).split())

    status, output = play("--check", "--diff")
    assert (status, (tmp_path / "inventory").exists()) == (0, False)
    assert "+app_name: shop" in output
    status, output = play()
    main = tmp_path / "inventory" / "shop" / "group_vars" / "all" / "main.yml"
    assert (status, main.exists()) == (0, True)
    assert "1 needed and not answered" in output
    main.write_text("mine", encoding="utf-8")
    status, output = play()
    assert (status, main.read_text(encoding="utf-8")) == (2, "mine")
    assert "already exists. Choose another SITE" in output
