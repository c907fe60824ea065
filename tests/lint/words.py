"""Words that are not used any more in code, on screen and in docs, with what to write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.lint.source import Finding

#: What is looked through, from the root of the project.
_PLACES = ("api_client", "tui", "widgets", "placement", "simulator", "docs", "README.md")
_SUFFIXES = {".py", ".md", ".tcss", ".yml"}
#: By what is found, what to write.
_WORDS = {
    r"mend(s|ed|ing)?": "fix, recover, repair",
    r"anew": "again, from the start",
    r"(makes?|made|making) good": "restore",
    r"(come|comes|came) over": "move in, arrive",
    r"passe[sd] over": "skip",
    r"cool-downs?": "cooldown",
    r"take of": "use one of",
    r"no cap": "no maximum",
    r"told by": "source, reported by, named",
    r"(take|takes|taken) it over": "save",
    r"(is|are) (not held|held again)": "below its minimum, has its minimum again",
    r"the engine here": "this client",
    r"without use": "unused",
    r"nothing is to do": "there is nothing to do",
    r"(?<!here )is no (colour|key|lane|mapping|number|port|price|service|tag)": "is not a",
    r"stands? twice": "appears twice, is listed twice",
    r"(events|logs|lines|servers?) (do not tell|tells?)": "say, report",
    r"(least|greatest) (replica )?counts?": "minimum, maximum",
    r"(replicas|counts) wanted": "desired",
    r"baselines? (not held|that is not met)": "below its minimum",
    r"as given": "what it is, or nothing",
    r"in the same moment": "at the same moment",
    r"asks? nobody": "do not ask for confirmation",
}
_ANY = re.compile(r"\b(" + "|".join(_WORDS) + r")\b", re.IGNORECASE)


def check(root: Path) -> Iterator[Finding]:
    """Finds them, line by line."""
    for place in _PLACES:
        top = root / place
        files = [top] if top.is_file() else sorted(top.rglob("*"))
        for file in files:
            if file.suffix in _SUFFIXES and file.is_file():
                yield from found(file.read_text("utf-8"), file.relative_to(root).as_posix())


def found(text: str, path: str) -> Iterator[Finding]:
    """Finds them in one text."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in _ANY.finditer(line):
            word = match[0]
            better = next(b for w, b in _WORDS.items() if re.fullmatch(w, word, re.IGNORECASE))
            yield Finding(path, number, "", f"says {word!r}: write {better}")
