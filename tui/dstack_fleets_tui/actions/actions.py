"""Every action of the dashboard, once: bindings, footer, help, commands and docs come from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from textual.binding import Binding

from dstack_fleets_tui.actions.action import Action
from dstack_fleets_tui.actions.key_names import key_name
from dstack_fleets_tui.actions.places import (
    APPLY,
    CHARTS,
    CONFIGURED,
    DETAILS,
    EDIT,
    EDITABLE,
    EDITORS,
    EVENTS,
    FLEET,
    FLEET_EDIT,
    FLEETS,
    FOLLOWING,
    GONE_THROUGH,
    LISTS,
    LOGS,
    OPENING,
    PANED,
    PLAN,
    PROBLEMS,
    READ,
    REPLICA,
    RUNS,
    SEARCHED,
    SERVICE,
    SERVICES,
    TABLES,
    WATCHING,
    WHATIF,
)

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
    Action(
        "project",
        (),
        "project",
        "Switch to another project, or to several: a,b or all.",
        WATCHING,
        "NAME",
    ),
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
    Action(
        "history",
        ("h",),
        "History",
        "Show every deployment of the service, or every submission of the replica.",
        (SERVICE, REPLICA),
        "NAME",
        anywhere=True,
    ),
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
        "Copy the dstack command that attaches to the replica.",
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
        "stop",
        ("D",),
        "stop",
        "Stop the service or another run; delete it where it has ended.",
        (SERVICES, SERVICE, RUNS),
        "NAME",
        (RUNS,),
        writes=True,
        anywhere=True,
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
        "Cordon it and move replicas away, each once its new one is ready.",
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
    Action(
        "add_host",
        ("a",),
        "add host",
        "Add a host to a fleet of SSH hosts: its name, and maybe user=, port= or internal_ip=.",
        (FLEET_EDIT,),
        "HOST",
        True,
    ),
    Action(
        "remove_host",
        ("D",),
        "remove host",
        "Remove the host, or put it back.",
        (FLEET_EDIT,),
        "",
        True,
    ),
    Action("text", ("E",), "as text", "Edit the configuration as YAML.", EDITORS, "", True),
    Action("reset", ("R",), "reset", "Discard all changes of the edit.", EDITORS),
    Action(
        "filter",
        ("slash",),
        "filter",
        "Show only rows that match; in YAML, facts and plans, look for a text.",
        SEARCHED,
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
    Action("next", ("n",), "next", "Go to the next match.", GONE_THROUGH),
    Action("previous", ("N",), "previous", "Go to the previous match.", GONE_THROUGH),
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
        "Show or hide what ended without a failure.",
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
        "save",
        ("ctrl+s",),
        "save view",
        "Save what is shown to a file: as Markdown, text, CSV, JSON or a picture.",
        (*TABLES, CHARTS),
        "md|txt|csv|json|svg FILE",
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
    Action("pause", ("p",), "pause", "Pause polling, or resume.", WATCHING, "", True),
    Action(
        "step",
        ("full_stop",),
        "step",
        "In a replay: show the next poll, and pause.",
        WATCHING,
        footer=True,
        replay=True,
    ),
    Action(
        "step_back",
        ("comma",),
        "step back",
        "In a replay: show the poll before, and pause.",
        WATCHING,
        footer=True,
        replay=True,
    ),
    Action(
        "at",
        (),
        "go to",
        "In a replay: go to a time, or jump forward or back.",
        WATCHING,
        "03:12|+1m|-30s|start|end",
        replay=True,
    ),
    Action(
        "speed",
        (),
        "speed",
        "In a replay: set the speed.",
        WATCHING,
        "NUMBER",
        replay=True,
    ),
    Action("command", ("colon",), "command", "Type a command by its name.", (), "", True),
    Action("fault", (), "fault", "Make something go wrong in the demo.", TABLES, "NAME", demo=True),
    Action("reload", (), "reload", "Read the settings, keys and themes again.", WATCHING),
    Action("messages", (), "messages", "Show the last messages of the line above the footer."),
    Action("columns", (), "columns", "Explain the columns in front.", TABLES),
    Action("help", ("question_mark",), "help", "Show the keys.", (), "", True),
    Action(
        "quit", ("q",), "quit", "Quit; asks first while an edit or a change is open.", (), "", True
    ),
)

BY_ID = {action.id: action for action in ACTIONS}

#: What only changes how a list is shown, or leaves it: of no project in particular.
OF_VIEW = frozenset(
    {
        *("problems", "project", "back", "earlier", "later", "last", "filter", "sort", "order"),
        *("reverse", "finished", "wrong", "copy", "copy_row", "save", "details", "more_details"),
        *("fewer_details", "refresh", "pause", "step", "step_back", "at", "speed", "command"),
        *("reload", "messages", "columns", "help", "quit"),
    }
)


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


def footer(
    screen: str,
    *,
    ascii_only: bool = False,
    writes: bool = True,
    replay: bool = False,
    own: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[tuple[str, str]]:
    """Key and title of what the footer shows on a screen.

    Args:
        screen: The screen.
        ascii_only: Whether only ASCII is drawn.
        writes: Whether what changes something is shown.
        replay: Whether what is for a replay is shown.
        own: The user's own keys, by the id of the action.
    """
    return [
        # Titles of views are written large in their tabs.
        (key_name(own.get(action.id, action.keys)[0], ascii_only=ascii_only), action.title.lower())
        for action in on_screen(screen, writes=writes)
        if action.in_footer(screen)
        and not (action.id == "back" and screen in LISTS)
        and (replay or not action.replay)
    ]
