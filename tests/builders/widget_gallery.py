"""Tiny apps for pictures: every widget with the same data, and nothing that moves."""

from __future__ import annotations

from datetime import datetime, timedelta

from textual.app import App, ComposeResult
from textual.containers import Horizontal

from dstack_widgets.drawing.bars import Share, ratio, share_bar, sparkline, state_bar
from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.inputs.command_line import CommandLine, FilterLine
from dstack_widgets.panels.facts import Fact, Facts, Heading, YamlView
from dstack_widgets.screen.status_header import HeaderState, KeysFooter, StatusHeader, Tab, TabsLine
from dstack_widgets.table.cells import Cell, CellValue, Column
from dstack_widgets.table.live_table import LiveTable

NOW = datetime(2026, 1, 2, 14, 2, 31)

YAML = """\
type: fleet
name: gpu-reserved  # a comment
nodes:
  min: 2
  max: 4
resources:
  - gpu: H100:8
env: [HF_TOKEN, "b: c"]
"""

COMMANDS = ("fleets", "service chat-7b", "service chat-70b", "services")


def fleets(glyphs: Glyphs) -> dict[str, tuple[Cell, ...]]:
    return {
        "reserved": (
            "gpu-reserved",
            CellValue("cloud", "dim"),
            "2..4",
            state_bar({"busy": 4}, 6, glyphs),
            ratio(32, 32, 0, glyphs),
            "393.28",
            "12d",
            share_bar([Share("chat-70b", 3), Share("embed", 1, 1)], 0, glyphs),
        ),
        "spot": (
            "gpu-spot",
            CellValue("cloud", "dim"),
            "0..12",
            state_bar({"busy": 3, "provisioning": 1}, 6, glyphs),
            ratio(24, 32, 0, glyphs),
            "124.20",
            "12d",
            share_bar([Share("chat-70b", 3)], 0, glyphs),
        ),
        "lab": (
            "lab-h100",
            CellValue("ssh", "dim"),
            "4",
            state_bar({"busy": 2, "idle": 1, "unreachable": 1}, 6, glyphs),
            ratio(16, 32, 0, glyphs),
            glyphs.dash,
            "90d",
            sparkline([1, 2, 3, 5, 8, 5, None, 2], 12, glyphs=glyphs),
        ),
    }


COLUMNS = (
    Column("name", "FLEET"),
    Column("kind", "KIND", priority=-1),
    Column("nodes", "NODES", justify="right"),
    Column("instances", "INSTANCES", flexible=True, min_width=16),
    Column("gpu", "GPU", justify="right"),
    Column("price", "$/H", justify="right"),
    Column("age", "AGE", justify="right", priority=-2),
    Column("services", "SERVICES", priority=-3),
)


class Gallery(App[None]):
    CSS = """
    Facts, YamlView { height: 9; border-top: solid $primary-muted; }
    Horizontal.details { height: 10; }
    StatusHeader, KeysFooter { background: $surface; }
    """

    def __init__(self, glyphs: Glyphs = UNICODE, *, connection: str = "live") -> None:
        super().__init__()
        self.glyphs = glyphs
        self.state = HeaderState(
            "main",
            "dstack.acme.io",
            NOW,
            connection,  # type: ignore[arg-type]
            NOW - timedelta(seconds=1),
            "0.22.5",
            "placement 1.0",
        )
        self.table = LiveTable(COLUMNS, empty_text="No fleets yet", glyphs=glyphs)

    def compose(self) -> ComposeResult:
        yield StatusHeader(glyphs=self.glyphs)
        yield TabsLine([Tab("1", "Fleets"), Tab("2", "Services"), Tab("3", "Problems", "2!")], "1")
        yield self.table
        with Horizontal(classes="details"):
            yield Facts(
                [
                    Heading("Placement"),
                    Fact("spot policy", "on-demand"),
                    Fact("backends", "aws, gcp, kubernetes, lambda, runpod, vastai and more"),
                    Fact("reservation", "[red]cr-0f3a[/]"),
                    Fact("idle duration", CellValue("1h", "ok")),
                    Fact("env", ""),
                ],
                glyphs=self.glyphs,
            )
            yield YamlView(YAML)
        yield CommandLine(
            lambda text: [each for each in COMMANDS if each.startswith(text)], glyphs=self.glyphs
        )
        yield FilterLine()
        yield KeysFooter(
            [
                ("enter", "open"),
                ("e", "edit"),
                ("/", "filter"),
                ("s", "sort"),
                (":", "command"),
                ("?", "help"),
            ]
        )

    def on_mount(self) -> None:
        self.query_one(StatusHeader).show(self.state)
        self.table.set_rows(fleets(self.glyphs))
        self.table.sort_by("price", reverse=True)
        self.screen.set_focus(self.table)


class HostileTable(App[None]):
    """Names that nobody should give and somebody will."""

    NAMES = (
        "[/x]",
        "[red]not red[/red]",
        "\x1b[31mescape\x1b[0m",
        "日本語のフリート",
        "שלום עולם",
        "e\u0301 combining e\u0301",
        "\u202eturned around",
        "x" * 300,
    )

    def compose(self) -> ComposeResult:
        table = LiveTable(
            [
                Column("name", "NAME", max_width=24),
                Column("state", "STATE"),
                Column("price", "$/H", justify="right"),
            ],
            selectable=True,
        )
        table.set_rows(
            {
                str(index): (name, CellValue(name[:5], "warn"), f"{index}.50")
                for index, name in enumerate(self.NAMES)
            }
        )
        yield table
