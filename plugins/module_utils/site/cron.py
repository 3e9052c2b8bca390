# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Schedules of CronJobs: the problem of a schedule that Kubernetes refuses, or that never comes."""

import re
from dataclasses import dataclass, field

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Longest lengths of the months.
LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
INTERVAL = re.compile(r"@every ([0-9]+(\.[0-9]+)?(h|m|s))+")


@dataclass(frozen=True)
class Field:
    """One of the five fields of a schedule."""

    name: str
    first: int
    last: int
    names: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """Return a number or a name as a number. Raises ValueError with the problem."""
        if text.lower() in self.names:
            return self.names[text.lower()]
        if not re.fullmatch("[0-9]+", text):
            raise ValueError(f"{text or 'an empty value'} is not a {self.name}")
        value = int(text)
        if not self.first <= value <= self.last:
            instead = ", and Sunday is 0" if (self.name, value) == ("day of the week", 7) else ""
            raise ValueError(f"{self.name} {value} does not exist{instead}")
        return value

    def values(self, text: str) -> set[int]:
        """Return the values of a field. Raises ValueError with the problem."""
        return set().union(*(self._part(part) for part in text.split(",")))

    def _part(self, part: str) -> set[int]:
        span, slash, step = part.partition("/")
        if slash and not re.fullmatch("[1-9][0-9]*", step):
            raise ValueError(f"{step or 'an empty value'} is not a step")
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            begin, end = self.first, self.last
        else:
            begin = self.number(first)
            end = self.number(last) if dash else self.last if slash else begin
        if begin > end:
            raise ValueError(f"the range {span} ends before it begins")
        return set(range(begin, end + 1, int(step or 1)))


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day", 1, 31),
    Field("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    Field("day of the week", 0, 6, {name: number for number, name in enumerate(DAYS)}),
)


def problem(schedule: str) -> str:
    """Return why Kubernetes refuses a schedule, or why it never comes; empty if it is valid."""
    words = schedule.split()
    if schedule in MACROS or INTERVAL.fullmatch(schedule):
        return ""
    if schedule.startswith("@"):
        return f"{words[0]} does not exist"
    if "TZ=" in schedule:
        return "a time zone belongs in time_zone"
    if len(words) != len(FIELDS):
        return f"it has {len(words)} fields instead of 5 (minute, hour, day, month, day of the week)"
    try:
        _, _, days, months, _ = (each.values(word) for each, word in zip(FIELDS, words, strict=True))
    except ValueError as error:
        return str(error)
    # Otherwise, one of the two days is enough.
    if words[4][0] in "*?" and not any(day <= LENGTHS[month - 1] for day in days for month in months):
        return f"day {min(days)} of month {min(months)} does not exist"
    return ""
