"""What the checks of the tests find, and what they leave alone."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from tests import ROOT
from tests.lint import (
    addresses,
    circles,
    clocks,
    faces,
    imported,
    links,
    looks,
    proofs,
    releases,
    rooms,
    sleeps,
    words,
)
from tests.lint.__main__ import allowed, judged
from tests.lint.source import Finding, Module

HELPERS = """
from tests.waiting import until

def shown(app): return app.screen.text
async def opened(app, pilot):
    await pilot.press("2")
    await until(lambda: shown(app))
async def pressed(pilot): await pilot.press("2")
"""


def module(code: str, path: str = "tests/test_it.py") -> Module:
    return Module(path, ast.parse(dedent(code)))


def body(code: str) -> str:
    """The code as what a test does, with everything at hand that it calls."""
    lines = "\n".join(f"    {line}" for line in dedent(code).strip().splitlines())
    return (
        "import asyncio, time\n"
        "from contextlib import suppress\n"
        "from datetime import datetime, timedelta\n"
        "import pytest\n"
        "from tests.helpers import opened, pressed, shown\n"
        "from tests.waiting import until\n"
        f"async def test_it(app, pilot):\n{lines}\n"
    )


@pytest.mark.parametrize(
    "code",
    [
        "time.sleep(1)",
        "await asyncio.sleep(0)",
        "await pilot.pause(0.1)",
        "await opened.pilot.pause(delay=1)",
        "with suppress(asyncio.TimeoutError):\n    await asyncio.wait_for(event.wait(), 1)",
        "with pytest.raises(TimeoutError):\n    await asyncio.wait_for(task, 1)",
        "try:\n    await asyncio.wait_for(event.wait(), 1)\nexcept asyncio.TimeoutError:\n    pass",
    ],
)
def test_a_sleep_is_found(code: str) -> None:
    (found,) = sleeps.check([module(body(code))])
    assert found.place == "tests/test_it.py:test_it"
    assert not list(sleeps.check([module(body(code), "tests/waiting.py")]))


@pytest.mark.parametrize(
    "code",
    [
        "await pilot.pause()",
        "poller.pause(True)",
        "client.sleep(1)",
        "await asyncio.wait_for(event.wait(), 5)",
        "commands = ['sleep 5']",
        "async def sleep(seconds): pass",
    ],
)
def test_what_is_no_sleep(code: str) -> None:
    assert not list(sleeps.check([module(body(code))]))


def test_a_sleep_under_another_name() -> None:
    code = "from asyncio import sleep as rest\nasync def test_it():\n    await rest(1)\n"
    assert list(sleeps.check([module(code)]))


@pytest.mark.parametrize(
    "code",
    [
        "await pilot.press('a')\nassert app.screen.view == 'a'",
        "await pilot.press('a')\nawait pilot.pause()\nassert shown(app) == 'a'",
        "await pilot.click('#a')\nassert pilot.app.screen.view",
        "await pressed(pilot)\nassert app.focused is None",
        "await opened(app, pilot)\nawait pilot.press('a')\nassert 'a' in shown(app)",
        "await pilot.press('a')\ntext = shown(app)\nassert text == 'a'",
        (
            "seen = []\nfor key in 'ab':\n    await pilot.press(key)\n    seen.append(shown(app))\n"
            "assert seen == ['a', 'b']"
        ),
        "grid = app.query_one('#grid')\nawait pilot.press('a')\nassert grid.place == 1",
        "for key in 'ab':\n    assert app.screen.view\n    await pilot.press(key)",
        "if app.screen.view:\n    await pilot.press('a')\nassert app.screen.view",
        "terminal.press('q')\nassert terminal.shows('bye')",
        (
            "async with running() as (app, table, pilot):\n"
            "    await pilot.press('a')\n    assert table.cursor == 1"
        ),
    ],
)
def test_one_look_after_a_key_is_found(code: str) -> None:
    given = [module(HELPERS, "tests/helpers.py"), module(body(code))]
    (found,) = looks.check(given)
    assert found.place == "tests/test_it.py:test_it"


@pytest.mark.parametrize(
    "code",
    [
        "assert app.screen.view == 'a'",
        "await pilot.press('a')\nawait until(lambda: app.screen.view == 'a')\nassert shown(app)",
        "await pilot.press('a')\nawait opened(app, pilot)\nassert shown(app)",
        "await pilot.press('a')\nassert app.return_code == 0",
        "await pilot.press('a')\nassert client.asked == 1",
        "before = shown(app)\nawait pilot.press('a')\nassert before == 'a'",
        "await pilot.press('a')\nawait app.workers.wait_for_complete()\nassert shown(app)",
        (
            "for key in 'ab':\n"
            "    await pilot.press(key)\n"
            "    await until(lambda: shown(app) == key)\n"
            "assert shown(app)"
        ),
    ],
)
def test_a_look_that_was_waited_for_is_left_alone(code: str) -> None:
    given = [module(HELPERS, "tests/helpers.py"), module(body(code))]
    assert not list(looks.check(given))


@pytest.mark.parametrize(
    "code",
    [
        "assert datetime.now() - event.at < timedelta(minutes=5)",
        "assert abs(datetime.now() - event.at) < timedelta(minutes=5)",
        "now = datetime.now()\nassert run['submitted_at'] <= now",
        "assert began < time.time()",
    ],
)
def test_clocks_of_two_machines_are_found(code: str) -> None:
    (found,) = clocks.check([module(body(code))])
    assert found.place == "tests/test_it.py:test_it"


@pytest.mark.parametrize(
    "code",
    [
        "assert first.at < second.at",
        "event.at = datetime.now()\nassert event.text == 'a'",
        "began = time.time()\nassert time.time() - began < 5",
        "now = datetime.now()\nassert parsed(now) == now",
    ],
)
def test_times_of_one_clock_are_left_alone(code: str) -> None:
    assert not list(clocks.check([module(body(code))]))


def test_a_place_is_allowed_by_its_file_and_function() -> None:
    found = [Finding("tests/a.py", 3, "test_a", "no"), Finding("tests/b.py", 4, "B.test_b", "no")]
    assert judged(found, {"tests/a.py:test_a"}) == ["tests/b.py:4: B.test_b: no"]
    (unused,) = judged([], {"tests/c.py:test_c"})
    assert "tests/c.py:test_c: allows nothing" in unused
    assert allowed("# why\ntests/a.py:test_a\n\n") == {"tests/a.py:test_a"}


def test_words_that_are_not_used_any_more() -> None:
    text = "# Fix it again.\nname = 'Mend it'\namended = started_anew = 1\nIt is read anew."
    assert [str(each) for each in words.found(text, "docs/it.md")] == [
        "docs/it.md:2: : says 'Mend': write fix, recover, repair",
        "docs/it.md:4: : says 'anew': write again, from the start",
    ]


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# All `get` kinds, and *more*\n## Same\n## Same\n")
    (tmp_path / "a.md").write_text(
        "# Here\n[a](docs/other.md#all-get-kinds-and-more) [b](#here) [c](docs/other.md#same-1)\n"
        "[d](https://example.com/none#x)\n\n"
        "![picture](none.png)\n\n"
        "- [e](docs/other.md#same-2)\n\n"
        "| a |\n| --- |\n| [f](docs/none.md) |\n\n```\n[g](none.md)\n```\n"
    )
    assert [str(each) for each in links.check(tmp_path)] == [
        "a.md:5: : links to none.png, which is not there",
        "a.md:7: : links to docs/other.md#same-2, which has no such heading",
        "a.md:11: : links to docs/none.md, which is not there",
    ]


@pytest.mark.parametrize("code", ['a = "/api/users/list"', "a = f'/api/project/{name}/runs/get'"])
def test_an_address_of_the_server_is_found(code: str) -> None:
    assert list(addresses.found(code, "tui/it.py"))
    assert not list(addresses.found("a = '/apis'  # /api/users", "tui/it.py"))


def test_circles_are_found_each_once() -> None:
    imports = {
        "a": {"b", "elsewhere"},
        "b": {"c"},
        "c": {"a", "d"},
        "d": {"e"},
        "e": {"d"},
        "f": {"a", "g"},
        "g": set(),
    }
    assert circles.circles(imports) == [("a", "b", "c"), ("d", "e")]
    assert circles.circles({**imports, "c": {"d"}, "e": set()}) == []


def test_a_folder_names_the_modules_that_others_import_and_no_more() -> None:
    imports = {
        "a": set(),
        "a.one": {"a.two", "b.shown", "b.deep.inner"},
        "a.two": {"a.one"},
        "b": {"b.shown"},
        "b.shown": {"b.hidden"},
        "b.hidden": {"b.deep.inner"},
        "b.deep": set(),
        "b.deep.inner": set(),
    }
    good = {"a": set(), "b": {"shown", "deep"}, "b.deep": {"inner"}}
    assert list(faces.found(imports, good)) == []
    assert [
        (each.path, each.message)
        for each in faces.found(imports, {"a": {"two"}, "b": {"shown", "hidden"}, "b.deep": set()})
    ] == [
        ("a.two", "is in `__all__` of a, and nobody outside of it imports it"),
        ("b.deep", "is imported by a.one, and is not in `__all__` of b"),
        ("b.hidden", "is in `__all__` of b, and nobody outside of it imports it"),
        ("b.deep.inner", "is imported by a.one, and is not in `__all__` of b.deep"),
    ]


def test_what_a_folder_defines_is_no_module_of_it() -> None:
    code = """
    from .inner import given
    HERE = 1
    def made(): ...
    if TYPE_CHECKING:
        from .late import later
    __all__ = ["HERE", "a_module", "given", "later", "made"]
    """
    assert faces.named_in(dedent(code)) == {"a_module"}


def test_the_picture_of_the_rooms_is_what_they_import() -> None:
    written = (ROOT / "docs" / "rooms.md").read_text()
    assert written == rooms.page(), "docs/rooms.md is out of date: run `make docs`"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from tests.tui.test_other import opened", 1),
        ("from tests.tui import test_other", 1),
        ("import tests.e2e.test_other", 1),
        ("from .test_other import opened", 1),
        ("from tests.builders.apps import app_on", 0),
        ("from tests.builders.contest_cases import cases", 0),
    ],
)
def test_a_test_module_that_another_imports(code: str, found: int) -> None:
    lines = {each.line for each in imported.check([module(code)])}
    assert len(lines) == found


def test_a_table_of_proofs_names_each_test_module_and_no_other(tmp_path: Path) -> None:
    for name in ("tui/test_keys", "tui/test_keys_late", "widgets/test_table", "e2e/test_get"):
        file = tmp_path / "tests" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "docs").mkdir()
    page = tmp_path / proofs.PAGE
    head = "## What proves what\n\n| capability | pure | stories |\n| --- | --- | --- |\n"

    def told(*rows: str) -> list[str]:
        page.write_text(head + "\n".join(rows))
        return [each.message for each in proofs.check(tmp_path)]

    assert (
        told("| Keys | tui: keys (more in test-slow), keys_* | e2e: get |", "| Rows | widgets | |")
        == []
    )
    assert told("| Keys | widgets; tui: keys, mouse | e2e: get |") == [
        "names tests that are not there: tui: mouse",
        "has no row for tests: tui: keys_late",
    ]


@pytest.mark.parametrize(
    ("headings", "wrong"),
    [
        ("## [Unreleased]\n", []),
        ("## [Unreleased]\n## [1.2.0] - 2026-01-31\n## [1.1.0] - 2025-12-01\n", []),
        ("## [1.2.0] - 2026-01-31\n", ["its first heading is not [Unreleased]"]),
        (
            "## [Unreleased]\n## [1.1.0]\n",
            [
                "a release has its date: ## [1.2.0] - 2026-01-31",
                "the newest release is not 1.2.0 of pyproject.toml",
            ],
        ),
    ],
)
def test_the_changelog_and_the_version_agree(
    tmp_path: Path, headings: str, wrong: list[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{headings}")
    assert [each.message for each in releases.check(tmp_path)] == wrong


def test_a_release_has_its_heading_and_its_tag_and_nothing_else_in_its_files(
    tmp_path: Path,
) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=ada", "-c", "user.email=ada@localhost")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    def changelog(headings: str) -> None:
        (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n{headings}")

    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    changelog("")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "Begin")
    missing = ["CHANGELOG.md has no heading of 1.2.0.", "The commit has no tag v1.2.0."]
    assert [*releases.unreleased(tmp_path)] == missing
    changelog("\n## [1.2.0] - 2026-01-31\n")
    assert [*releases.unreleased(tmp_path)] == [missing[1], "Files differ from the commit."]
    git("commit", "-qam", "Release 1.2.0")
    git("tag", "-a", "v1.2.0", "-m", "1.2.0")
    assert [*releases.unreleased(tmp_path)] == []
    git("commit", "-q", "--allow-empty", "-m", "Go on")
    assert [*releases.unreleased(tmp_path)] == [missing[1]]
