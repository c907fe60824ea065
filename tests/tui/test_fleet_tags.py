"""Tags of a fleet as they are typed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.service.checks import FieldName, Problem
from dstack_api_client.model.configuration import MASK
from dstack_fleets_tui.editing import fleet_form
from tests.builders.cloud_fleet_edit import edit
from tests.builders.generation import SEED

FIELD = FieldName("tags")


def typed(text: str, tags: dict[str, Any] | None = None) -> Any:
    begun = edit().with_field("tags", tags)
    read = fleet_form.typed(begun, FIELD, text)
    return read.configuration["tags"] if isinstance(read, FleetEdit) else read.line


def shown(tags: dict[str, Any]) -> str:
    (row,) = [row for row in fleet_form.rows(edit().with_field("tags", tags)) if row.key == "tags"]
    return row.cells[1].text


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (
            "env=prod, token=cost-77, private=no",
            {"env": "prod", "token": "cost-77", "private": "no"},
        ),
        ("owner=Ada Lovelace, team=ml", {"owner": "Ada Lovelace", "team": "ml"}),
        ("cost centre=4711", {"cost centre": "4711"}),
        ("a=x+y=z:/@._-", {"a": "x+y=z:/@._-"}),
        ('a="one, two", b=3', {"a": "one, two", "b": "3"}),
        (r'a="say \"x\" \\ y"', {"a": r'say "x" \ y'}),
        ('a=""', {"a": ""}),
        ("team=ml cost=7", {"team": "ml", "cost": "7"}),
        ("", None),
    ],
)
def test_tags_with_spaces_and_signs_are_taken(text: str, tags: dict[str, str] | None) -> None:
    assert typed(text) == tags


@pytest.mark.parametrize("text", ["team", "=x", "a=b, c", "a=", 'a="x', 'a="x" y'])
def test_what_is_no_tag_is_refused(text: str) -> None:
    assert "is not a tag. Write key=value" in typed(text)


def test_a_mask_that_was_left_alone_is_what_it_was() -> None:
    tags = {"env": "prod", "link": "https://me:hunter2@acme.example"}
    text = shown(tags)
    assert text == f"env=prod, link=https://me:{MASK}@acme.example"
    assert typed(text.replace("prod", "staging"), tags) == {**tags, "env": "staging"}
    assert "no secret was" in typed(f"env={MASK}", tags)
    read = fleet_form.typed(edit(), FieldName("reservation"), MASK)
    assert isinstance(read, Problem)


def test_what_is_shown_can_be_typed_back() -> None:
    print(f"DSTACK_FLEETS_TESTS_SEED={SEED}")  # noqa: T201
    rng = random.Random(SEED)
    signs = ["a", "B", "1", " ", "-", "=", ",", '"', "\\", "@", ":", "/", "+", "_", "é"]

    def text(most: int, without: str = "") -> str:
        allowed = [sign for sign in signs if sign not in without]
        return "".join(rng.choice(allowed) for _ in range(rng.randrange(most))).strip()

    for _ in range(500):
        tags = {f"k{text(4, '=,')}".replace('"', ""): text(9) for _ in range(rng.randrange(1, 4))}
        again = typed(shown(tags) + " ", tags)
        assert again == tags, shown(tags)


@pytest.mark.parametrize("text", ["9" * 400, "1000000.5"])
def test_a_price_has_a_bound(text: str) -> None:
    read = fleet_form.typed(edit(), FieldName("max_price"), text)
    assert isinstance(read, Problem)
