"""The examples of docs/extending.md, put into a copy of the program."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = re.compile(
    r"[Ii]n (?:the new file \*\*(?P<new>[^*]+)\*\*|"
    r"`(?P<file>[^`]+)`, (?P<how>before|in place of) `(?P<text>[^`]+)`):\n\n"
    r"```python\n(?P<code>.*?)```\n",
    re.DOTALL,
)


def sections():
    """{title: text} of the page."""
    _, *parts = re.split(r"^## (.+)$", (ROOT / "docs" / "extending.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def files(title):
    """The files that the example of a section adds or changes."""
    return {place["new"] or place["file"] for place in PLACE.finditer(sections()[title])}


def commands(title):
    """The commands of a section, each a list of words after `python`."""
    found = re.findall(r"^```sh\n(.*?)```$", sections()[title], re.DOTALL | re.MULTILINE)
    return [shlex.split(line)[1:] for line in "".join(found).splitlines()]


def copy_with(root, *titles):
    """Copies the program to a folder that is not there yet, with the examples of these sections; returns the folder."""
    ignored = shutil.ignore_patterns(".*", "tests", "results", "logs", "docs", "shared", "*.gz", "__pycache__")
    shutil.copytree(ROOT, root, ignore=ignored)
    for title in titles:
        for place in PLACE.finditer(sections()[title]):
            path, code = root / (place["new"] or place["file"]), place["code"]
            if place["new"]:
                path.write_text(code)
                continue
            before, found, after = path.read_text().partition(place["text"])
            assert found, f"{place['file']} lacks {place['text']}"
            path.write_text(before + (code.rstrip("\n") if place["how"] == "in place of" else code + found) + after)
    return root


def call(program, *words):
    """Runs a script of a copy; returns what it printed."""
    done = subprocess.run([sys.executable, *map(str, words)], cwd=program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
