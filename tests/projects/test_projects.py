"""Public projects that were not written for this collection: each deploys by its inventory, and does what it should.

The tests of a project run in this order. The last one removes the site.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from contexts import QUICK
from postgresql_support import eventually
from support_projects import RATE, Site, load, named, picture, processes, upload
from support_security import outside_address, written

PNG = "picture.png"
# Python code in a web pod of each project, with Django loaded. The last line of the output is JSON.
ADDRESS_OF_PICTURE = {
    "bakery": "from wagtail.images import get_image_model\nprint(get_image_model().objects.get(title='test').file.url)",
    "netbox": "from extras.models import ImageAttachment\nprint(ImageAttachment.objects.get(name='test').image.url)",
}
# An object that the picture belongs to; the output is the path of the form.
FORM_OF_PICTURE = {
    "bakery": "print('/admin/images/add/')",
    "netbox": """
from dcim.models import Site
from django.contrib.contenttypes.models import ContentType
one, _ = Site.objects.get_or_create(name='test', slug='test')
kind = ContentType.objects.get_for_model(Site)
print(f'/extras/image-attachments/add/?object_type={kind.pk}&object_id={one.pk}')
""",
}
# Sends tasks of about a second each, and prints their IDs.
SEND = {
    "pretalx": """
from pretalx.celery_app import app
job = {'task': 'celery.accumulate', 'args': [], 'kwargs': {}, 'options': {}, 'subtask_type': None, 'immutable': False}
print(json.dumps([app.tasks['celery.map'].apply_async([job, 'x' * int(sys.argv[1])]).id for _ in range(8)]))
""",
    "nautobot": """
from django.contrib.auth import get_user_model
from nautobot.extras.models import Job, JobResult
job = Job.objects.get(module_name='nautobot.core.jobs.groups', job_class_name='RefreshDynamicGroupCaches')
user = get_user_model().objects.get(username='admin')
print(json.dumps([str(JobResult.enqueue_job(job, user, job_kwargs={}).pk) for _ in range(5)]))
""",
    "netbox": """
import django_rq
print(json.dumps([django_rq.get_queue('default').enqueue('time.sleep', 1).id for _ in range(8)]))
""",
}
# Prints the tasks that are not done yet.
UNFINISHED = {
    "pretalx": """
from pretalx.celery_app import app
print(json.dumps([one for one in json.loads(sys.argv[1]) if app.AsyncResult(one).state != 'SUCCESS']))
""",
    "nautobot": """
from nautobot.extras.models import JobResult
found = JobResult.objects.filter(pk__in=json.loads(sys.argv[1])).exclude(status='SUCCESS')
print(json.dumps([f'{one.pk} {one.status}' for one in found]))
""",
    "netbox": """
import django_rq
from rq.job import Job
queue = django_rq.get_queue('default')
states = {one: str(Job.fetch(one, connection=queue.connection).get_status()) for one in json.loads(sys.argv[1])}
print(json.dumps([f'{one} {state}' for one, state in states.items() if not state.lower().endswith('finished')]))
""",
}
# Items of a task of pretalx, so that it takes about a second.
ITEMS = {"pretalx": "40000"}
WORKER = {"pretalx": "celery", "nautobot": "celery", "netbox": "rq"}
CREATE_TABLE = """
import sys
try:
    import psycopg
except ImportError:
    import psycopg2 as psycopg
connection = psycopg.connect('service=default')
cursor = connection.cursor()
cursor.execute('SELECT current_user, current_schema()')
print(*cursor.fetchone())
try:
    cursor.execute('CREATE TABLE test_of_this_login (id integer)')
except psycopg.Error as error:
    sys.exit(f'refused: {error}')
"""
SCHEDULE = """
from django.contrib.auth import get_user_model
from nautobot.extras.models import Job, ScheduledJob
job = Job.objects.get(module_name='nautobot.core.jobs.groups', job_class_name='RefreshDynamicGroupCaches')
user = get_user_model().objects.get(username='admin')
options = {'interval': 'custom', 'crontab': '* * * * *', 'job_kwargs': {}}
print(ScheduledJob.create_schedule(job, user, name='each minute', **options).pk)
"""
# The scheduler of django-celery-beat misses the first change of a table that was empty when it started.
WAKE_SCHEDULER = "from nautobot.extras.models import ScheduledJobs\nScheduledJobs.update_changed()\nprint('done')"
RUNS_OF_SCHEDULE = """
from nautobot.extras.models import JobResult
found = JobResult.objects.filter(scheduled_job_id=sys.argv[1], status='SUCCESS').order_by('date_created')
print(json.dumps([one.date_created.isoformat(timespec='minutes') for one in found]))
"""


# ---- Pages -----------------------------------------------------------------------------------------------------------


def test_pages_and_static_files_are_served(site: Site) -> None:
    browser = site.browser()
    assert browser.open(site.project.page).status == 200
    path = browser.open(site.project.login).static_file()
    found = browser.request(path)
    assert found.status == 200, path
    assert found.headers.get_content_type() in ("text/css", "text/javascript", "application/javascript")


def test_other_hosts_are_refused(site: Site) -> None:
    page = site.browser().request(site.project.page, Host="attacker.example.org")
    assert page.status in (301, 302, 400), page.text[:1000]
    assert "attacker.example.org" not in (page.headers["Location"] or "")


def test_login_works_with_the_password_of_the_secret(site: Site) -> None:
    assert site.browser().request(site.project.protected).status in (302, 303)
    assert site.signed_in().request(site.project.protected).status == 200


def test_second_run_changes_nothing(site: Site) -> None:
    ended = site.play("site")
    assert "changed=0 " in ended.output, ended.output[-6000:]


# ---- Secrets and permissions -----------------------------------------------------------------------------------------


def test_no_process_shows_a_secret(site: Site) -> None:
    """Values are in files, unless the inventory puts them into the environment. Jobs are included."""
    seen = {*site.processes, *processes()}
    if not any(b"PGSERVICEFILE=" in data for data in seen):
        pytest.skip("the nodes are no containers on this machine")
    found = site.secrets()
    assert {"password"} <= {name.rpartition("/")[2] for name in found}
    shown = {
        name
        for name, value in found.items()
        for form in (form.encode() for form in written(value))
        if any(form in data for data in seen)
    }
    assert shown == set()


def test_login_of_the_site_cannot_create_tables(site: Site) -> None:
    ended = site.python(CREATE_TABLE)
    assert ended.code == 1, ended.out + ended.err
    assert "refused: permission denied for schema" in ended.err
    assert ended.out.split() == [f"{site.name}_app", site.name]


# ---- Workers and schedules -------------------------------------------------------------------------------------------


@pytest.mark.projects("pretalx", "nautobot", "netbox")
def test_tasks_are_done_while_the_worker_stops(site: Site) -> None:
    before = named(site.pods(WORKER[site.name]))
    assert len(before) == 1
    tasks = site.django(SEND[site.name], ITEMS.get(site.name, ""))
    # With the usual time to end the present task.
    site.where.delete("Pod", before[0])
    left: list[str] = []

    def is_done() -> bool:
        left[:] = json.loads(site.django(UNFINISHED[site.name], tasks))
        return not left

    try:
        eventually(is_done, 240, 2)
    except AssertionError:
        pytest.fail(f"tasks that are not done: {', '.join(left)}")
    assert named(site.pods(WORKER[site.name])) != before


@pytest.mark.projects("pretalx")
def test_schedule_runs_its_command(site: Site) -> None:
    def succeeded() -> list[dict[str, Any]]:
        jobs = site.where.list("Job", "batch/v1")
        mine = [job for job in jobs if job["metadata"]["name"].startswith("pretalx-periodic")]
        return [job for job in mine if job["status"].get("succeeded")]

    # The schedule is that of each minute.
    assert eventually(succeeded, 180, 2)


@pytest.mark.projects("nautobot")
def test_scheduler_of_the_project_runs_a_job_once_per_minute(site: Site) -> None:
    schedule = site.django(SCHEDULE)
    # Twice the interval in which the scheduler looks for changes.
    time.sleep(10)
    site.django(WAKE_SCHEDULER)

    def runs() -> list[str]:
        minutes = json.loads(site.django(RUNS_OF_SCHEDULE, schedule))
        return minutes if len(minutes) >= 2 else []

    minutes = eventually(runs, 300, 5)
    assert len(set(minutes)) == len(minutes), minutes


# ---- Rollout ---------------------------------------------------------------------------------------------------------


@contextmanager
def listener() -> Iterator[tuple[str, int]]:
    """Accept connections on this machine; yield its address as seen from the nodes, and the port."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        server.settimeout(0.5)
        over = threading.Event()

        def accept() -> None:
            while not over.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield outside_address(), server.getsockname()[1]
        finally:
            over.set()
            thread.join()


@pytest.mark.projects("bakery", "netbox")
def test_picture_is_uploaded(site: Site) -> None:
    browser, site.kept[PNG] = site.signed_in(), picture()
    path = site.django(FORM_OF_PICTURE[site.name])
    upload(browser, path, site.kept[PNG], {"title" if site.name == "bakery" else "name": "test"})
    site.kept["address"] = site.django(ADDRESS_OF_PICTURE[site.name])
    assert browser.open(site.kept["address"]).body == site.kept[PNG]


def test_rollout_opens_egress(site: Site) -> None:
    """Projects for which a test machine is fast enough lose no request meanwhile."""
    before = set(named(site.pods("web")))
    visitors = load(site.browser(), site.project.page) if site.name in QUICK else nullcontext(None)
    with listener() as (host, port), visitors as sent:
        assert not site.reaches(host, port), "A pod reached an address that no rule allows."
        started = time.monotonic()
        egress = {"test": {"ports": [port], "cidrs": [f"{host}/32"]}}
        site.play("site", django_egress=egress, django_annotations={"example.org/release": "2"})
        seconds = time.monotonic() - started
        eventually(lambda: site.reaches(host, port), 30, 1)
    assert not before & set(named(site.pods("web")))
    if sent:
        assert sent.requests > seconds * RATE / 2
        assert sent.failures == []


@pytest.mark.projects("bakery", "netbox")
def test_picture_survives_the_rollout(site: Site) -> None:
    assert site.signed_in().open(site.kept["address"]).body == site.kept[PNG]


# ---- Removal ---------------------------------------------------------------------------------------------------------


def test_removal_leaves_nothing(site: Site) -> None:
    ended = site.play("teardown", teardown_data="purge", teardown_cluster=False)
    try:
        eventually(lambda: not site.where.namespace_exists(), 60, 1)
    except AssertionError:
        pytest.fail(f"left in the namespace: {', '.join(site.content())}\n{ended.output[-6000:]}")
    volumes = site.where.list("PersistentVolume", "v1", namespace="")
    claimed = {volume["spec"].get("claimRef", {}).get("namespace") for volume in volumes}
    assert site.namespace not in claimed
