"""The command that prints the JSON schema of the settings file, for editors."""

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
        help="print the JSON schema of settings.yml, for editors",
        description="Prints the JSON schema of settings.yml. Editors that know the YAML language"
        " server complete and check the file once its first line is"
        " `# yaml-language-server: $schema=FILE`.",
    )
    command.set_defaults(run=_schema)


def _schema(args: argparse.Namespace) -> int:
    from dstack_fleets_tui.settings.settings import Values

    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Values.model_json_schema(),
        "title": "Settings of dstack-fleets-tui",
        # As the program does: what it doesn't know is a slip.
        "additionalProperties": False,
    }
    sys.stdout.write(f"{json.dumps(schema, indent=2)}\n")
    return DONE
