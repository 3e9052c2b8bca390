"""Variables of roles, rendered by Ansible itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[3]
# Ansible's plugins, and with them its import of collections, are set up in a process of their own.
PROGRAM = """\
import json, sys, yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
init_plugin_loader([])
file, names, cases = json.load(sys.stdin)
known = yaml.safe_load(open(file))
known = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in known.items()}
wanted = trust_as_template("{{ [" + ", ".join(names) + "] }}")
print(json.dumps([Templar(loader=DataLoader(), variables=known | given).template(wanted) for given in cases]))
"""


def rendered(file: str, names: list[str], cases: list[dict[str, Any]], **environment: str) -> list[list[Any]]:
    """Return the values of variables in a file of the project, for each case of given variables."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([file, names, cases]),
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
