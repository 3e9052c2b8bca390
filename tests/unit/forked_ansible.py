"""ansible-playbook in a fork of a process that has imported Ansible, because the import takes half of a short run.

The settings of the environment are those of the process at its start. A test that changes them starts the program.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[2]
# Before a test changes it.
ENVIRONMENT = dict(os.environ)
# Maximum duration of a run.
SECONDS = 120
# Serves requests until its input ends: a line of JSON for each run, and its wait status as the answer.
SERVER = """\
import json, os, sys, traceback, warnings
from ansible.cli import playbook
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
import ansible_collections.cloud_django.kubernetes.plugins.action
# A run configures the loaders again, which changes nothing.
warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")
for line in sys.stdin:
    request = json.loads(line)
    if not (child := os.fork()):
        os.chdir(request["directory"])
        for number, name in ((0, os.devnull), (1, request["output"]), (2, request["error"])):
            os.dup2(os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY), number)
        sys.argv = ["ansible-playbook", *request["arguments"]]
        code = 1
        try:
            playbook.main(sys.argv)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Ended(NamedTuple):
    """Exit status and output of a run."""

    returncode: int
    stdout: str
    stderr: str


@cache
def server() -> subprocess.Popen[str]:
    """Return the process, which ends with the tests."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=PROJECT,
        env=ENVIRONMENT | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(process.communicate)
    return process


def ansible_playbook(*arguments: str | Path, directory: Path = PROJECT) -> Ended:
    """Run ansible-playbook in a directory with the project's ansible.cfg, without input; return its output."""
    process = server()
    with tempfile.NamedTemporaryFile() as output, tempfile.NamedTemporaryFile() as error:
        request = {
            "directory": str(directory),
            "arguments": [str(argument) for argument in arguments],
            "output": output.name,
            "error": error.name,
        }
        print(json.dumps(request), file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], SECONDS)[0]:
            os.killpg(process.pid, signal.SIGKILL)
            server.cache_clear()
        status = process.stdout.readline()
        assert status, f"The process has ended, or the run {request['arguments']} took longer than {SECONDS} s."
        texts = [Path(file.name).read_text(encoding="utf-8") for file in (output, error)]
    return Ended(os.waitstatus_to_exitcode(int(status)), *texts)
