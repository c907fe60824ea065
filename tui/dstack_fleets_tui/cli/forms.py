"""Which forms a kind of `get` is printed in."""

from __future__ import annotations

import argparse

from dstack_fleets_tui.headless.kinds import DOCUMENTS
from dstack_fleets_tui.output.notices import PROGRAM

FORMS = ("table", "wide", "json", "yaml", "csv", "md", "name", "prometheus")
#: Forms that have columns.
_TABLES = ("table", "wide", "csv", "md")
#: Forms that can go on.
_WATCHED = ("table", "wide", "json")


def add_form_options(get: argparse.ArgumentParser) -> None:
    """Adds what says in which form `get` prints."""
    get.add_argument(
        "-o",
        "--output",
        choices=FORMS,
        default="table",
        help="the format: a table (the default), one with more columns, JSON, YAML, CSV, Markdown,"
        " names alone, or (of metrics) what Prometheus reads",
    )
    get.add_argument(
        "--columns",
        metavar="A,B",
        type=_columns,
        default=(),
        help="just these columns of a table, of CSV or Markdown: by their titles, or by keys of"
        " the JSON such as replicas.min",
    )
    get.add_argument(
        "--watch",
        action="store_true",
        help="keep running, and print a line (with -o json an object) for each change",
    )


def wrong_form(args: argparse.Namespace) -> tuple[str, str] | None:
    """What is wrong with the form that is asked for, and what to use; None where nothing is."""
    if args.output == "prometheus" and args.kind != "metrics":
        return (
            f"-o prometheus is for metrics, not for {args.kind}.",
            f"Use `{PROGRAM} get metrics -o prometheus`.",
        )
    if args.kind in DOCUMENTS:
        return _wrong_document(args)
    if args.columns and args.output not in _TABLES:
        return f"-o {args.output} has no columns.", f"Use one of: {', '.join(_TABLES)}."
    if args.watch and args.kind == "logs":
        return "--watch does not work with logs.", f"Use `{PROGRAM} get logs NAME --follow`."
    if args.watch and args.output not in _WATCHED:
        return (
            f"-o {args.output} does not work with --watch.",
            f"Use one of: {', '.join(_WATCHED)}.",
        )
    if args.watch and args.kind == "problems" and (args.columns or args.output == "wide"):
        return "With --watch, problems are lines without columns.", "Leave the columns out."
    return None


def _wrong_document(args: argparse.Namespace) -> tuple[str, str] | None:
    if args.output not in ("table", "md"):
        return (
            "A report is Markdown, for people.",
            f"For programs use `{PROGRAM} get KIND NAME -o json`, with the kinds of `get --help`.",
        )
    if args.columns or args.watch:
        return "A report has no columns and no --watch.", ""
    if args.name is None:
        return "A report needs the name of a service.", f"Use `{PROGRAM} get report NAME`."
    return None


def _columns(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, map(str.strip, text.split(","))))
    if not names:
        raise argparse.ArgumentTypeError("has to be a comma-separated list of names")
    return names
