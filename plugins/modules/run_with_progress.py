#!/usr/bin/python
"""Documentation of the action plugin run_with_progress."""

DOCUMENTATION = r"""
module: run_with_progress
short_description: Run a long command on the controller and say how far it is
version_added: 0.1.0
description:
  - Runs a command without a shell, always on the controller, and prints a line with the elapsed time and the
    progress every few seconds. A task that is silent for minutes looks the same as one that hangs.
  - The command ends when the play is interrupted or killed, so that a repeated run never meets a forgotten one.
  - A process that the command leaves in the background doesn't delay the task.
  - On failure the error holds the first line that the command marked as an error, and its last lines.
options:
  argv:
    description: The program and its arguments.
    type: list
    elements: str
    required: true
  label:
    description: What the command does, for the progress lines and the error.
    type: str
    required: true
  creates:
    description: The command is not run if this path exists.
    type: path
  chdir:
    description: Directory to run the command in.
    type: path
  environment:
    description: Variables to add to the controller's environment.
    type: dict
    default: {}
  stdin:
    description: Text for the command's standard input, which is otherwise empty.
    type: str
  log:
    description: >-
      File that keeps the whole output of the last run; the command is ended and the task fails if it cannot be written.
      Unset, only the last lines of a failure are kept.
    type: path
  count:
    description: Regular expression; lines of output that match it are counted. Unset, the last line is shown instead.
    type: str
  total:
    description: How many such lines a whole run prints, more or less.
    type: int
  hints:
    description: >-
      What to do about a failure, by its output. The error has the text of each pattern that a line matched, and that
      line.
    type: list
    elements: dict
    default: []
    suboptions:
      pattern:
        description: Regular expression that a line of output matches.
        type: str
        required: true
      text:
        description: The sentences. An empty text is left out.
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
  description: How long the command took, in seconds.
  type: float
  returned: when it ran
"""
