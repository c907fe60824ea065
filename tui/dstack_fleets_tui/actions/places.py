"""Where actions belong: the screens, and what several of them have in common."""

from __future__ import annotations

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
#: Where a text is looked for.
SEARCHED = (*READ, PLAN)
#: From where one goes anywhere, and reading can be paused.
WATCHING = (*READ, CHARTS)
#: Where rows lead somewhere.
OPENING = (*LISTS, RUNS, WHATIF, SERVICE, FLEET, REPLICA)
#: Where details stand beside the list.
PANED = (FLEETS, SERVICES, PROBLEMS)
#: Where something is followed as it comes in.
FOLLOWING = (EVENTS, *DETAILS, LOGS)

#: Where lines are gone through that have what is looked for.
GONE_THROUGH = (LOGS, *DETAILS, PLAN)
