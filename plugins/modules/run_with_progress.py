#!/usr/bin/python
"""Documentation of the action plugin run_with_progress."""

DOCUMENTATION = r"""
module: run_with_progress
short_description: Run a long command on the control node and print its progress
version_added: 0.1.0
description:
  - Runs a command without a shell, always on the control node, and prints a line with the elapsed time and the progress
    every few seconds. Otherwise a long task could not be distinguished from a blocked one.
  - Terminates the command when the play is interrupted or killed, so that it cannot interfere with the next run.
  - Does not wait for background processes of the command.
  - On failure, reports the first line that the command marked as an error, and its last lines.
options:
  argv:
    description: Program and arguments.
    type: list
    elements: str
    required: true
  label:
    description: Name of the work, for the progress lines and the error.
    type: str
    required: true
  creates:
    description: Path that the command creates. If it exists, the command is not run.
    type: path
  chdir:
    description: Directory to run the command in.
    type: path
  environment:
    description: Environment variables, in addition to those of the control node.
    type: dict
    default: {}
  stdin:
    description: Standard input of the command. Empty by default.
    type: str
  log:
    description: >-
      File for the full output of the last run. If it cannot be written, the command is terminated and the task fails.
      Without it, only the last lines are shown on failure.
    type: path
  count:
    description: Regular expression of the output lines to count. Without it, the progress shows the last line.
    type: str
  total:
    description: Approximate number of such lines in a complete run.
    type: int
  hints:
    description: >-
      Next steps after a failure, by output. The error includes the text of each pattern that matched, and the last
      matching line.
    type: list
    elements: dict
    default: []
    suboptions:
      pattern:
        description: Regular expression for a line of output.
        type: str
        required: true
      text:
        description: Text of the hint. An empty text disables the hint.
        type: str
        required: true
  interval:
    description: Seconds between two progress lines.
    type: float
    default: 10.0
"""

EXAMPLES = r"""
- name: Compile the tools
  cloud_django.kubernetes.run_with_progress:
    label: Tools from Go modules
    argv: [go, build, -v, -o, /tmp/tools/, ./...]
    creates: /tmp/tools/kind
    count: ^[\w.]+/
    total: 1700
"""

RETURN = r"""
rc:
  description: Exit code of the command.
  type: int
  returned: always
seconds:
  description: Duration of the command in seconds.
  type: float
  returned: when the command ran
"""
