"""gunicorn with the environment that the role gives a project that knows nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from talk import get

from conftest import HERE, SITE, Pod, rendered, wait_for_port

ORDINARY = {"django_contract": False, "django_cache_secret": ""}
# Before the configuration, so that a file of the project could replace a default, but not an argument of the role.
CONFIGURATION = "workers = 7\nbind = '0.0.0.0:1'\npreload_app = True\n"


def test_gunicorn_listens_where_the_front_connects(make_pod: Callable[..., Pod], tmp_path: Path) -> None:
    pod = make_pod(start=False, **ORDINARY)
    text = rendered(tmp_path, ORDINARY, "__web_settings").replace("8000", str(pod.project_port))
    (pod.folder / "gunicorn.conf.py").write_text(CONFIGURATION)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE), "SEEN": str(pod.seen_path)} | json.loads(text)
    log = pod.folder / "project.log"
    with log.open("wb") as output:
        pod.project = subprocess.Popen(
            [str(SITE / "gunicorn"), "--log-level=debug", "project:application"],
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=pod.folder,
            env=environment,
        )
    wait_for_port(pod.project_port, pod.project, log)
    pod.start_front()
    for _ in range(5):
        assert get(pod.port, "/").text == "hello\n"
    told = log.read_text()
    for expected in ("workers: 1", "threads: 8", "keepalive: 5", "preload_app: True", "worker_tmp_dir: /dev/shm"):
        assert expected in told
    assert "gthread" in told
