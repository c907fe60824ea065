"""Every action of the dashboard, once: bindings, footer, help, commands and docs come from here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textual.binding import Binding

#: Screens an action belongs to; an action with none belongs to all.
FLEETS, FLEET, SERVICES, SERVICE = "fleets", "fleet", "services", "service"
PROBLEMS, EVENTS, REPLICA = "problems", "events", "replica"
#: A list that a command opens over what is in front.
RUNS = "runs"
#: What a loss would do, over what is in front.
WHATIF = "what if"
#: The logs of a service, which a key opens.
LOGS = "logs"
LISTS = (FLEETS, SERVICES, PROBLEMS, EVENTS)
CONFIGURED = (FLEET, SERVICE)
DETAILS = (*CONFIGURED, REPLICA)
#: Where something is changed: the fields of an edit, its plan, and what comes of it.
EDIT, FLEET_EDIT, PLAN, APPLY = "edit", "fleet edit", "plan", "apply"
EDITORS = (EDIT, FLEET_EDIT)
#: Charts of a service or a fleet, which a key opens.
CHARTS = "charts"
#: Where there is a table, or one may come to the front.
TABLES = (*LISTS, RUNS, WHATIF, *DETAILS)
#: What can be edited is listed or open here.
EDITABLE = (FLEETS, SERVICES, *CONFIGURED)
#: Where there is something to read, which can be filtered and copied.
READ = (*TABLES, LOGS)
#: From where one goes anywhere, and reading can be paused.
WATCHING = (*READ, CHARTS)
#: Where rows lead somewhere.
OPENING = (*LISTS, RUNS, WHATIF, SERVICE, FLEET, REPLICA)
#: Where details stand beside the list.
PANED = (FLEETS, SERVICES, PROBLEMS)
#: Where something is followed as it comes in.
FOLLOWING = (EVENTS, *DETAILS, LOGS)


@dataclass(frozen=True)
class Action:
    """One thing a user can ask for.

    Attributes:
        id: Names it in settings, on the command line (`:`) and in `do_<id>` of the screens.
        keys: Textual's names of the keys that trigger it.
        title: The word in the footer.
        help: One sentence for the help screen and the docs.
        screens: Where it exists; empty for everywhere.
        argument: What the command line takes after its name, if anything.
        footer: Whether the footer shows it, or on which screens.
        writes: Whether it changes something on the server.
        anywhere: Whether its command can be typed wherever something is read, where its key does
            nothing too.
        demo: Whether it is for the demo only.
    """

    id: str
    keys: tuple[str, ...]
    title: str
    help: str
    screens: tuple[str, ...] = ()
    argument: str = ""
    footer: bool | tuple[str, ...] = False
    writes: bool = False
    anywhere: bool = False
    demo: bool = False

    def on(self, screen: str) -> bool:
        """Whether the action exists on a screen."""
        return not self.screens or screen in self.screens

    def typed_on(self, screen: str) -> bool:
        """Whether its command can be typed on a screen."""
        return self.on(screen) or (self.anywhere and screen in WATCHING)

    def in_footer(self, screen: str) -> bool:
        """Whether the footer of a screen shows it."""
        return screen in self.footer if isinstance(self.footer, tuple) else self.footer


ACTIONS: tuple[Action, ...] = (
    Action("fleets", ("1",), "fleets", "Show the fleets, or open one.", WATCHING, "NAME"),
    Action("services", ("2",), "services", "Show the services, or open one.", WATCHING, "NAME"),
    Action("problems", ("3",), "problems", "Show what is wrong, worst first.", WATCHING),
    Action(
        "events",
        ("4",),
        "events",
        "Show what happened in the project, or to a service, fleet or replica.",
        WATCHING,
        "NAME",
    ),
    Action("runs", (), "runs", "Show all runs: services, tasks and dev environments.", WATCHING),
    Action("project", (), "project", "Switch to another project.", WATCHING, "NAME"),
    Action("replica", (), "replica", "Open a replica.", WATCHING, "SERVICE/NUMBER"),
    Action(
        "open",
        ("enter",),
        "open",
        "Open the row under the cursor, or what is named.",
        OPENING,
        "NAME",
        True,
        anywhere=True,
    ),
    Action("back", ("escape", "backspace"), "back", "Go back, or clear the filter.", (), "", True),
    Action(
        "earlier",
        ("left_square_bracket",),
        "earlier view",
        "Go to the view that you came from, as in a browser.",
        WATCHING,
    ),
    Action(
        "later",
        ("right_square_bracket",),
        "later view",
        "Go forward again, after going back.",
        WATCHING,
    ),
    Action("last", ("minus",), "last view", "Go to the last view, and back again.", WATCHING),
    Action("instances", ("i",), "Instances", "Show the instances of the fleet.", (FLEET,)),
    Action(
        "distribution",
        ("d",),
        "Distribution",
        "Show how the replicas are spread over fleets.",
        (SERVICE,),
    ),
    Action(
        "replicas",
        ("r",),
        "Replicas",
        "Show the replicas of the service.",
        (SERVICE, APPLY),
        footer=(APPLY,),
    ),
    Action("router", ("o",), "Router", "Show the router and its workers.", (SERVICE,)),
    Action("rollout", ("t",), "Rollout", "Show the deployments side by side.", (SERVICE,)),
    Action("configuration", ("c",), "Configuration", "Show what the fleet allows.", (FLEET,)),
    Action("yaml", ("y",), "YAML", "Show the configuration as YAML.", CONFIGURED),
    Action(
        "overview", ("o",), "Overview", "Show the state and the metrics of the replica.", (REPLICA,)
    ),
    Action("history", ("h",), "History", "Show every submission of the replica.", (REPLICA,)),
    Action("events_here", ("v",), "Events", "Show the events of what is open.", DETAILS),
    Action(
        "logs",
        ("l",),
        "Logs",
        "Show the logs of the replica, or of all replicas of the service.",
        (SERVICES, SERVICE, PROBLEMS, RUNS, REPLICA),
        "NAME",
        footer=(SERVICES, SERVICE, PROBLEMS),
        anywhere=True,
    ),
    Action("host", ("i",), "instance", "Go to the instance that it runs on.", (REPLICA,), "", True),
    Action(
        "shell",
        ("x",),
        "shell",
        "Open a shell in the replica, in this terminal.",
        (SERVICE, REPLICA),
        "SERVICE/NUMBER",
        (REPLICA,),
        writes=True,
        anywhere=True,
    ),
    Action(
        "copy_attach",
        ("c",),
        "copy attach",
        "Copy the command of dstack that attaches to the replica.",
        (SERVICE, REPLICA),
        "SERVICE/NUMBER",
        anywhere=True,
    ),
    Action(
        "follow",
        ("f",),
        "follow",
        "Go to the newest line, and follow.",
        FOLLOWING,
        footer=(EVENTS, REPLICA, LOGS),
    ),
    Action("view", ("tab",), "next view", "Show the next view.", DETAILS, "VIEW", True),
    Action("view_back", ("shift+tab",), "previous view", "Show the previous view.", DETAILS),
    Action(
        "edit",
        ("e",),
        "edit",
        "Edit a service's lanes and counts, or a fleet.",
        (*EDITABLE, APPLY),
        "",
        True,
        writes=True,
    ),
    Action(
        "undo",
        ("u",),
        "undo",
        "Plan an undo of the last change.",
        (*CONFIGURED, APPLY),
        footer=True,
        writes=True,
    ),
    Action(
        "rebalance",
        ("b",),
        "rebalance",
        "Move replicas to the lanes of higher priority, or end that.",
        (SERVICE,),
        writes=True,
    ),
    Action(
        "new_fleet",
        ("N",),
        "new fleet",
        "Create a fleet from a template or a configuration file.",
        (FLEETS,),
        "cloud|ssh|FILE",
        True,
        writes=True,
    ),
    Action(
        "delete",
        ("D",),
        "delete",
        "Delete the fleet, or idle instances of it, which Space selects.",
        (FLEETS, FLEET),
        "",
        True,
        writes=True,
    ),
    Action(
        "cordon",
        ("C",),
        "cordon",
        "Place nothing new in the fleet, or on the instance under the cursor.",
        (FLEETS, FLEET),
        "REASON",
        writes=True,
    ),
    Action(
        "drain",
        ("X",),
        "drain",
        "Cordon it, and move replicas away, the new one ready first.",
        (FLEETS, FLEET),
        "REASON",
        writes=True,
    ),
    Action(
        "uncordon",
        ("U",),
        "uncordon",
        "End the cordon or the drain.",
        (FLEETS, FLEET),
        writes=True,
    ),
    Action(
        "whatif",
        ("W",),
        "what if",
        "Show what would be left without the fleet, the instance, or what is picked.",
        (*EDITABLE, WHATIF),
        "FLEET|spot|region:R|SERVICE=N",
        (WHATIF,),
    ),
    Action(
        "charts",
        ("T",),
        "trends",
        "Show charts of the last 30 minutes.",
        (*EDITABLE, CHARTS),
        "NAME",
        anywhere=True,
    ),
    Action(
        "plan",
        ("p",),
        "plan",
        "Show what the edit would do; where a change failed, plan it again.",
        (*EDITORS, APPLY),
        "",
        EDITORS,
    ),
    Action(
        "apply",
        ("y",),
        "apply",
        "Apply the plan, where no name has to be typed.",
        (PLAN,),
        footer=True,
        writes=True,
    ),
    Action("save_plan", ("w",), "save", "Write the plan to a file.", (PLAN,), footer=True),
    Action("lane_up", ("K",), "up", "Move the lane up: it is filled earlier.", (EDIT,), "", True),
    Action(
        "lane_down", ("J",), "down", "Move the lane down: it is filled later.", (EDIT,), "", True
    ),
    Action("add_lane", ("a",), "add lane", "Add a lane.", (EDIT,), "FLEET", True),
    Action("remove_lane", ("D",), "remove", "Remove the lane.", (EDIT,), "", True),
    Action(
        "own_lanes",
        ("O",),
        "own lanes",
        "Give the replica group its own lanes, or remove them.",
        (EDIT,),
    ),
    Action("text", ("E",), "as text", "Edit the configuration as YAML.", EDITORS, "", True),
    Action("reset", ("R",), "reset", "Discard all changes of the edit.", EDITORS),
    Action(
        "filter",
        ("slash",),
        "filter",
        "Show only rows that match; in YAML and facts, look for a text.",
        READ,
        "TEXT",
        True,
    ),
    Action(
        "since",
        ("s",),
        "since",
        "Show the logs of the last 15 minutes, hour, all, 1 or 5 minutes.",
        (LOGS,),
        "1m|5m|15m|1h|start",
        True,
    ),
    Action(
        "only",
        ("r",),
        "one replica",
        "Show only the replica under the cursor or the one named, or all again.",
        (LOGS,),
        "REPLICA|GROUP",
        True,
    ),
    Action(
        "mark",
        ("m",),
        "mark",
        "Mark what the filter finds among all lines, or show only those.",
        (LOGS,),
        "TEXT",
        True,
    ),
    Action("next", ("n",), "next", "Go to the next line with what / finds.", (LOGS, *DETAILS)),
    Action("previous", ("N",), "previous", "Go to the previous line with it.", (LOGS, *DETAILS)),
    Action("wrap", ("w",), "wrap", "Break long lines, or scroll sideways.", (LOGS,), "", True),
    Action("timestamps", ("t",), "times", "Show or hide times.", (LOGS,), "", True),
    Action(
        "save_logs",
        ("ctrl+s",),
        "save",
        "Write the lines that are shown to a file in the state folder.",
        (LOGS,),
        "",
        True,
    ),
    Action("sort", ("s",), "sort", "Sort by the next or a named column.", TABLES, "COLUMN", True),
    Action("order", ("M",), "order", "Pick the column to sort by.", TABLES),
    Action("reverse", ("S",), "reverse", "Reverse the order of the rows.", TABLES),
    Action(
        "finished",
        ("a",),
        "finished",
        "Show or hide what has ended well.",
        (SERVICES, RUNS),
        "",
        True,
    ),
    Action(
        "wrong",
        ("w",),
        "only wrong",
        "Show only what has a problem: fleets, services, runs, instances, replicas, workers.",
        (FLEETS, SERVICES, RUNS, FLEET, SERVICE),
    ),
    Action(
        "copy",
        ("y",),
        "copy",
        "Copy the name under the cursor.",
        (*LISTS, RUNS, WHATIF, REPLICA, LOGS),
    ),
    Action(
        "copy_row",
        ("Y",),
        "copy row",
        "Copy the row under the cursor, a problem in full, or the YAML.",
        READ,
    ),
    Action(
        "details",
        ("z",),
        "details",
        "Show or hide the details of the row under the cursor.",
        PANED,
        "auto|PERCENT",
        True,
    ),
    Action("more_details", ("plus",), "more", "Give the details more room.", PANED),
    Action("fewer_details", ("underscore",), "less", "Give the details less room.", PANED),
    Action("refresh", ("ctrl+r",), "refresh", "Refresh everything now."),
    Action("pause", ("p",), "pause", "Pause polling, or go on.", WATCHING, "", True),
    Action("command", ("colon",), "command", "Type a command by its name.", (), "", True),
    Action("fault", (), "fault", "Have something go wrong in the demo.", TABLES, "NAME", demo=True),
    Action("messages", (), "messages", "Show the last messages of the line above the footer."),
    Action("help", ("question_mark",), "help", "Show the keys."),
    Action("quit", ("q",), "quit", "Quit; asks where an edit or a change is open.", (), "", True),
)

BY_ID = {action.id: action for action in ACTIONS}
#: The ids of those that are for the demo only.
OF_THE_DEMO = frozenset(action.id for action in ACTIONS if action.demo)

#: How a key is written for people.
_KEY_NAMES = {
    "enter": "⏎",
    "escape": "esc",
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "underscore": "_",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "shift+tab": "⇧tab",
    "ctrl+r": "^r",
    "ctrl+s": "^s",
    "left": "←",
    "right": "→",
}
_ASCII_KEY_NAMES = {key: key for key in ("enter", "shift+tab", "left", "right")}


def key_name(key: str, *, ascii_only: bool = False) -> str:
    """Writes a key for people."""
    if ascii_only and key in _ASCII_KEY_NAMES:
        return _ASCII_KEY_NAMES[key]
    return _KEY_NAMES.get(key, key)


def on_screen(screen: str, *, writes: bool = True) -> list[Action]:
    """The actions that exist on a screen, in the order of the registry.

    Args:
        screen: The screen.
        writes: Whether those are wanted that change something.
    """
    return [action for action in ACTIONS if action.on(screen) and (writes or not action.writes)]


def typed_on(screen: str) -> list[str]:
    """The ids of the actions whose commands can be typed on a screen."""
    return [action.id for action in ACTIONS if action.typed_on(screen)]


def bindings(screen: str) -> Iterator[Binding]:
    """The bindings of a screen; `enter` is left to the table, which sends what was activated.

    They come before what has the focus, so that keys typed ahead of a slow line count in their
    order: in `/quit` typed at once, the q goes into the filter. Screens hold them back while
    something is typed.
    """
    for action in on_screen(screen):
        for key in action.keys:
            if key != "enter":
                yield Binding(
                    key,
                    f"do('{action.id}')",
                    action.title,
                    show=False,
                    priority=True,
                    id=action.id,
                    tooltip=action.help,
                )


def footer(screen: str, *, ascii_only: bool = False, writes: bool = True) -> list[tuple[str, str]]:
    """Key and title of what the footer shows on a screen.

    Args:
        screen: The screen.
        ascii_only: Whether only ASCII is drawn.
        writes: Whether what changes something is shown.
    """
    return [
        # Titles of views are written large in their tabs.
        (key_name(action.keys[0], ascii_only=ascii_only), action.title.lower())
        for action in on_screen(screen, writes=writes)
        if action.in_footer(screen) and not (action.id == "back" and screen in LISTS)
    ]
