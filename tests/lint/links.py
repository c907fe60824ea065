"""Links of the documents that lead nowhere: to a file, or a heading, that is not there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.lint.source import Finding

_PLACES = ("*.md", "docs/*.md")
_MARKDOWN = MarkdownIt("commonmark").enable("table")


def check(root: Path) -> Iterator[Finding]:
    """Finds them in the documents of a project."""
    for place in _PLACES:
        for file in sorted(root.glob(place)):
            yield from found(file, root)


def found(file: Path, root: Path) -> Iterator[Finding]:
    """Finds them in one document; links to other sites are not followed."""
    for line, link in _links(file.read_text("utf-8")):
        url = urlsplit(link)
        if url.scheme or url.netloc:
            continue
        target = file.parent / unquote(url.path) if url.path else file
        path = file.relative_to(root).as_posix()
        if not target.exists():
            yield Finding(path, line, "", f"links to {link}, which is not there")
        elif url.fragment and url.fragment not in anchors(target.read_text("utf-8")):
            yield Finding(path, line, "", f"links to {link}, which has no such heading")


def anchors(text: str) -> set[str]:
    """What the headings of a document are called in links, as GitHub makes it of their text."""
    seen: Counter[str] = Counter()
    tokens = _MARKDOWN.parse(text)
    names = set()
    for token, content in pairwise(tokens):
        if token.type == "heading_open":
            plain = "".join(each.content for each in content.children or ())
            name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            names.add(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
    return names


def _links(text: str) -> Iterator[tuple[int, str]]:
    """The links and pictures of a document, each with the line that its paragraph begins on."""
    for block in _MARKDOWN.parse(text):
        for token in block.children or ():
            link = _target(token)
            if link is not None:
                yield (block.map or [0])[0] + 1, link


def _target(token: Token) -> str | None:
    target = token.attrGet({"link_open": "href", "image": "src"}.get(token.type, ""))
    return None if target is None else str(target)
