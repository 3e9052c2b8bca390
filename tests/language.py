"""Report words of tests/language.toml in prose, and cells of Markdown tables with more than 30 words.

The arguments are paths; without any, all files that Git knows are read. Prose is Markdown outside of code, comments,
docstrings, string literals of three words or more, names of tests, and the text of templates. All other text is code
and can use any word. codespell is not used, because it knows single words only and cannot separate prose from code.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

RULES = Path(__file__).with_name("language.toml")
MOST_WORDS_IN_A_CELL = 30
# A string of fewer words is likely to be a name or an option.
FEWEST_WORDS = 3
# Values of these keys are code, however many words they have.
CODE_KEYS = {"when", "that", "until", "failed_when", "changed_when", "cmd", "command", "shell", "argv", "run"}
WORD = re.compile(r"[^\W\d_]{2,}")
# Code within prose: literals of Markdown, marks of Ansible's documentation, and addresses.
LITERAL = re.compile(r"`[^`\n]+`|\b[A-Z]\([^()\n]*\)|https?://\S+|\]\([^)\n]*\)|\\[nt]|%\(\w+\)s")
JINJA = re.compile(r"{{.*?}}|{%.*?%}", re.DOTALL)
QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")
SPACE = r"(?:[ ]+|[ ]*\n[ ]*)"

Span = tuple[int, int]


def is_sentence(text: str) -> bool:
    """Return whether a string has enough words for prose."""
    return len(WORD.findall(text)) >= FEWEST_WORDS


def only(text: str, spans: list[Span]) -> str:
    """Return the text with everything outside of the spans blanked, so that lines stay lines."""
    result = list(blank(text))
    for start, end in spans:
        result[start:end] = text[start:end]
    return "".join(result)


def blank(text: str) -> str:
    """Return spaces in place of all that is no end of a line."""
    return re.sub(r"[^\n]", " ", text)


def without(pattern: re.Pattern[str], text: str) -> str:
    """Return the text with each match blanked."""
    return pattern.sub(lambda match: blank(match[0]), text)


def markdown(text: str) -> str:
    """Return the prose of a Markdown file: no code blocks, no HTML tags."""
    return without(re.compile(r"^( *)```.*?^ *```|<[^<>\n]+>", re.DOTALL | re.MULTILINE), text)


def python(text: str) -> str:
    """Return comments, sentences in strings, and names of tests of a Python file."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans: list[Span] = []
    # The parts of adjacent strings outside of the replacement fields of f-strings, for each level of nesting.
    groups: list[list[Span]] = [[]]

    def close(group: list[Span]) -> None:
        if is_sentence(" ".join(text[start:end] for start, end in group)):
            spans.extend(group)
        group.clear()

    previous = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        match token.type:
            case tokenize.COMMENT:
                spans.append((start, end))
            case tokenize.STRING:
                quote = re.match(r"\w*('''|\"\"\"|'|\")", token.string)
                groups[-1].append((start + quote.end(), end - len(quote[1])))
            case tokenize.FSTRING_MIDDLE:
                groups[-2].append((start, end))
            case tokenize.FSTRING_START:
                groups.append([])
            case tokenize.FSTRING_END:
                close(groups.pop())
            case tokenize.NL:
                pass
            case _:
                close(groups[-1])
                if previous in ("def", "class") and token.string.lower().startswith("test"):
                    spans.append((start, end))
        previous = token.string
    return re.sub(r"\b(test_\w+)", lambda match: match[0].replace("_", " "), only(text, spans))


def yaml_prose(text: str) -> str:
    """Return comments, names, and sentences in values of a YAML file."""
    scalars: list[Span] = []
    spans: list[Span] = []

    def visit(node: yaml.Node, key: str) -> None:
        match node:
            case yaml.ScalarNode():
                span = (node.start_mark.index, node.end_mark.index)
                scalars.append(span)
                if key not in CODE_KEYS and (key == "name" or is_sentence(node.value)):
                    spans.append(span)
            case yaml.SequenceNode():
                for value in node.value:
                    visit(value, key)
            case yaml.MappingNode():
                for name, value in node.value:
                    scalars.append((name.start_mark.index, name.end_mark.index))
                    visit(value, str(name.value).rpartition(".")[2])

    for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
        visit(document, "")
    rest = list(text)
    for start, end in scalars:
        rest[start:end] = blank(text[start:end])
    comments = [match.span() for match in re.finditer(r"(?<!\S)#.*", "".join(rest))]
    return without_jinja(only(text, spans + comments))


def without_jinja(text: str) -> str:
    """Blank the expressions of Jinja, but not the sentences in them."""

    def sentences(match: re.Match[str]) -> str:
        return only(match[0], [found.span() for found in QUOTED.finditer(match[0]) if is_sentence(found[0])])

    return JINJA.sub(sentences, text)


def template(text: str) -> str:
    """Return the text of a page: no tags, no expressions."""
    return without_jinja(without(re.compile(r"<(script|style)\b.*?</\1>|<[^<>]*>|&\w+;", re.DOTALL), text))


def hash_comments(text: str) -> str:
    """Return comments after a number sign, and sentences in quotes."""
    comments = [match.span() for match in re.finditer(r"(?<!\S)#(?!!).*", text)]
    quoted = [match.span() for match in QUOTED.finditer(text) if is_sentence(match[0])]
    return only(text, comments + quoted)


def slash_comments(text: str) -> str:
    """Return comments of Go, JavaScript and CSS, and sentences in double quotes."""
    found = re.finditer(r"/\*.*?\*/|(?<!\S)//[^\n]*|\"[^\"\n]*\"", text, re.DOTALL)
    return only(text, [match.span() for match in found if match[0][0] == "/" or is_sentence(match[0])])


PROSE: dict[str, Callable[[str], str]] = {
    ".md": markdown,
    ".py": python,
    ".yml": yaml_prose,
    ".yaml": yaml_prose,
    ".html": template,
    **dict.fromkeys((".go", ".js", ".css"), slash_comments),
    **dict.fromkeys((".sh", ".cfg", ".toml", ".in", ".hcl", ".service", ".path"), hash_comments),
    **dict.fromkeys(("Makefile", "Dockerfile"), hash_comments),
}


def prose(path: Path) -> str:
    """Return a file with everything blanked that is no prose, or nothing if its kind has none."""
    if path.name == RULES.name or path.suffix in (".txt", ".json", ".png", ".sum", ".mod", ".svg"):
        return ""
    text = path.read_text()
    first = text.partition("\n")[0]
    by_first_line = (python if "python" in first else hash_comments) if first.startswith("#!") else None
    kind = PROSE.get(path.suffix) or PROSE.get(path.name) or PROSE.get(path.suffix[1:]) or by_first_line
    return kind(text) if kind else ""


def allowed() -> re.Pattern[str]:
    """Return a pattern of the phrases that are names."""
    phrases = [phrase for names in tomllib.loads(RULES.read_text())["names"] for phrase in names.split(", ")]
    return re.compile("|".join(re.escape(phrase).replace(r"\ ", SPACE) for phrase in phrases), re.IGNORECASE)


def patterns() -> list[tuple[str, re.Pattern[str], str]]:
    """Return of each rule its kind, its pattern, and what to write instead."""
    result = []
    for kind, rules in tomllib.loads(RULES.read_text()).items():
        for words, instead in rules.items() if kind != "names" else ():
            longest_first = sorted(words.split(", "), key=len, reverse=True)
            choice = "|".join(re.escape(word).replace(r"\ ", SPACE) for word in longest_first)
            before = r"^\s*(?:- )?name: [\"']?(?:\S+ \| )?" if kind == "tasks" else ""
            flags = re.IGNORECASE if kind == "words" else re.MULTILINE
            result.append((kind, re.compile(rf"{before}(?<![\w/.$-])({choice})(?![\w/=]|\.\w|-\w)", flags), instead))
    return result


def is_question(text: str) -> bool:
    """Return whether the first sentence of a text ends with a question mark."""
    end = re.search(r"[.!?](?=\W|$)|\n\s*\n|$", text)
    return end is not None and end[0] == "?"


def findings(path: Path) -> Iterator[tuple[int, str]]:
    """Return of each finding in a file its line, and what is wrong with it."""
    text = prose(path)
    source = path.read_text() if text else ""
    plain = without(allowed(), without(LITERAL, text))
    for kind, pattern, instead in patterns():
        if kind == "tasks" and path.suffix not in (".yml", ".yaml"):
            continue
        for match in pattern.finditer(source if kind == "tasks" else plain):
            if kind != "starts" or not is_question(plain[match.start() :]):
                yield plain.count("\n", 0, match.start(1)) + 1, f'"{" ".join(match[1].split())}": {instead}'
    if path.suffix == ".md":
        for number, row in enumerate(text.splitlines(), 1):
            for cell in row.strip().strip("|").split("|") if row.lstrip().startswith("|") else ():
                if (words := len(cell.split())) > MOST_WORDS_IN_A_CELL:
                    yield number, f"a table cell of {words} words: at most {MOST_WORDS_IN_A_CELL}"


def main(arguments: list[str]) -> int:
    """Print the findings; return 1 if there are any."""
    listing = ("git", "ls-files", "--cached", "--others", "--exclude-standard", *arguments)
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [(name, *finding) for name in names if Path(name).is_file() for finding in sorted(findings(Path(name)))]
    for name, line, text in found:
        print(f"{name}:{line}: {text}")
    print(f"{len(found)} odd words or long cells in {len(names)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
