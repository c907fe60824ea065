"""The command that prints the JSON schema of the settings file or the key file, for editors."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from dstack_fleets_tui.cli.common import DONE


def add_schema(commands: Any) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "schema",
        allow_abbrev=False,
        help="print the JSON schema of settings.yml or keys.yml, for editors",
        description="Prints the JSON schema of settings.yml, or of keys.yml. Editors that know the"
        " YAML language server complete and check the file once its first line is"
        " `# yaml-language-server: $schema=FILE`.",
    )
    command.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        choices=("settings", "keys"),
        default="settings",
        help="settings (the default) or keys",
    )
    command.set_defaults(run=_schema)


def _schema(args: argparse.Namespace) -> int:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **(_of_keys() if args.file == "keys" else _of_settings()),
        # As the program does: what it doesn't know is a slip.
        "additionalProperties": False,
    }
    sys.stdout.write(f"{json.dumps(schema, indent=2)}\n")
    return DONE


def _of_settings() -> dict[str, Any]:
    from dstack_fleets_tui.settings.settings import adapter

    return {**adapter().json_schema(), "title": "Settings of dstack-fleets-tui"}


def _of_keys() -> dict[str, Any]:
    from dstack_fleets_tui.settings.own_keys import bindings

    key = {"type": ["string", "integer"]}
    several = {"type": "array", "items": key, "minItems": 1}
    return {
        "title": "Keys of dstack-fleets-tui",
        "type": "object",
        "properties": {
            name: {"description": about, "anyOf": [key, several]}
            for name, about in bindings().items()
        },
    }
