"""What the dashboard does when an action is chosen, wherever one is.

What an action opens is imported when it is chosen: the first frame needs none of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from dstack_api_client.clock import utc_now
from dstack_api_client.edits.store.files import state_folder
from dstack_api_client.text import one_line
from dstack_fleets_tui.actions import key_names, places
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.terminal.terminal import clipboard_sequence
from dstack_fleets_tui.themes.showing import Themes
from dstack_widgets.drawing.text import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from textual.screen import Screen

    from dstack_api_client.connect.connection import ConfigError, Connection
    from dstack_api_client.edits.perform.cordoning import CordonAction
    from dstack_api_client.edits.store.keeping import Store
    from dstack_api_client.feed.update import Update
    from dstack_api_client.model.fleet import Fleet
    from dstack_api_client.model.replica import ReplicaKey
    from dstack_fleets_tui.app.going import Going
    from dstack_fleets_tui.app.quitting import Quitting
    from dstack_fleets_tui.app.replaying import Replaying
    from dstack_fleets_tui.app.switching import Switching
    from dstack_fleets_tui.changes.cordons import CordonChanges
    from dstack_fleets_tui.changes.fleet import FleetChanges
    from dstack_fleets_tui.changes.service import Changing
    from dstack_fleets_tui.changes.shells import Shells
    from dstack_fleets_tui.changes.stopping import Stops
    from dstack_fleets_tui.live.source import Source
    from dstack_fleets_tui.screens.parts.base import LiveScreen
    from dstack_fleets_tui.settings.projects import Projects
    from dstack_fleets_tui.settings.settings import Settings

#: Cells of a copied text that are shown.
_COPIED = 60


@dataclass(frozen=True, slots=True)
class Given:
    """What the app is given by whoever starts it, besides where to connect and the settings.

    Attributes:
        now: The clock.
        store: Where drafts, the way back and the audit log are kept; the user's without it.
        projects: How other projects are found; None where there is but one.
        terminal_is_gone: Tells when to leave.
        again: Finds the connection again, after the user has fixed something.
        open_source: Opens what is read of a connection; the usual without it.
        beside: Further projects, shown in the same lists.
    """

    now: Callable[[], datetime]
    store: Store | None
    projects: Projects | None
    terminal_is_gone: Callable[[], bool]
    again: Callable[[], Connection | ConfigError] | None
    open_source: Callable[[Connection], AbstractAsyncContextManager[Source]] | None
    beside: Sequence[Connection]


class ActingApp(Host):
    """The part of the app that does what actions say; it knows the screens, and reads nothing.

    Args:
        connection: Where to connect, or why that is not known.
        settings: The user's settings.
        given: What else it is given.

    Attributes:
        store: Where drafts, the way back and the audit log are kept; None for the user's.
    """

    def __init__(
        self, connection: Connection | ConfigError, settings: Settings, given: Given
    ) -> None:
        super().__init__(connection, settings, now=given.now)
        self.store = given.store
        self._projects = given.projects

    @property
    def state_folder(self) -> Path:
        """The folder for what is kept from one start to the next."""
        return self.store.folder if self.store is not None else state_folder()

    @cached_property
    def changing(self) -> Changing:
        """Begins changes."""
        from dstack_api_client.edits.store.keeping import Store
        from dstack_fleets_tui.changes.service import Changing

        return Changing(self, self.store or Store.default())

    @cached_property
    def fleet_changes(self) -> FleetChanges:
        """Begins those of fleets."""
        from dstack_fleets_tui.changes.fleet import FleetChanges

        return FleetChanges(self, self.changing)

    @cached_property
    def cordon_changes(self) -> CordonChanges:
        """Takes fleets and instances out of service."""
        from dstack_fleets_tui.changes.cordons import CordonChanges

        return CordonChanges(self, self.changing)

    @cached_property
    def _quitting(self) -> Quitting:
        """Leaves."""
        from dstack_fleets_tui.app.quitting import Quitting

        return Quitting(self, self.changing)

    @cached_property
    def _going(self) -> Going:
        """Goes to what a command names."""
        from dstack_fleets_tui.app.going import Going

        return Going(self)

    @cached_property
    def _switching(self) -> Switching:
        """Goes to other projects."""
        from dstack_fleets_tui.app.switching import Switching

        return Switching(self, self._projects, self._quitting.in_the_way, self._connect_to)

    @cached_property
    def _shells(self) -> Shells:
        """Opens shells."""
        from dstack_fleets_tui.changes.shells import Shells

        return Shells(self, self.changing)

    @cached_property
    def _replaying(self) -> Replaying:
        """Moves in the time of a recording."""
        from dstack_fleets_tui.app.replaying import Replaying

        return Replaying(self, self._rewind)

    @cached_property
    def _stops(self) -> Stops:
        """Stops runs."""
        from dstack_fleets_tui.changes.stopping import Stops

        return Stops(self, self.changing)

    @property
    def _in_front(self) -> LiveScreen | None:
        """The screen in front, if it shows the snapshot."""
        from dstack_fleets_tui.screens.parts.base import LiveScreen

        return self.screen if isinstance(self.screen, LiveScreen) else None

    def _connect_to(self, connections: Sequence[Connection]) -> None:
        """Goes to other projects."""
        raise NotImplementedError

    def _rewind(self, past: Iterable[Update]) -> None:
        """Shows another moment of a replay.

        Args:
            past: What was before it.
        """
        raise NotImplementedError

    def open_fleet(self, fleet_id: str, view: str = "", row: str | None = None) -> None:
        """Opens a fleet over what is in front.

        Args:
            fleet_id: The fleet.
            view: The view to begin with.
            row: The key of the row to put the cursor on.
        """
        from dstack_fleets_tui.screens.fleet import FleetScreen

        self.push_screen(FleetScreen(fleet_id, view, row))

    def open_service(self, run_id: str, view: str = "", row: str | None = None) -> None:
        """Opens a service over what is in front; arguments as for `open_fleet`."""
        from dstack_fleets_tui.screens.service.service import ServiceScreen

        self.push_screen(ServiceScreen(run_id, view, row))

    def open_replica(self, key: ReplicaKey, view: str = "") -> None:
        """Opens a replica over what is in front.

        Args:
            key: The replica.
            view: The view to begin with.
        """
        from dstack_fleets_tui.screens.replica import ReplicaScreen

        self.push_screen(ReplicaScreen(key, view))

    def open_logs(self, run_id: str, only: str = "") -> None:
        """Opens the logs of a service over what is in front.

        Args:
            run_id: The service.
            only: The name of the replica or group to begin with; all for none.
        """
        from dstack_fleets_tui.screens.logs import LogsScreen

        self.push_screen(LogsScreen(run_id, only))

    def do_fleets(self, argument: str) -> None:
        """Shows the fleets, or the named one."""
        if argument:
            self._going.fleet(argument)
        else:
            self._show_list(places.FLEETS)

    def do_services(self, argument: str) -> None:
        """Shows the services, or the named one."""
        if argument:
            self._going.service(argument)
        else:
            self._show_list(places.SERVICES)

    def do_replica(self, argument: str) -> None:
        """Opens the named replica."""
        self._going.replica(argument)

    def do_earlier(self, argument: str) -> None:
        """Goes to the view that one came from."""
        self._going.back_or_forth(-1)

    def do_later(self, argument: str) -> None:
        """Goes forward again."""
        self._going.back_or_forth(1)

    def do_last(self, argument: str) -> None:
        """Goes to the last view."""
        self._going.last()

    def do_project(self, argument: str) -> None:
        """Switches to the named project, or lets one be picked."""
        self._switching.to(argument)

    @property
    def project_names(self) -> Sequence[str]:
        """The projects that one can switch to."""
        return self._switching.names

    def do_shell(self, argument: str) -> None:
        """Opens a shell in the named replica, or in the one at hand."""
        self._shells.open(self._going.replica_meant(argument))

    def do_copy_attach(self, argument: str) -> None:
        """Copies the command that attaches to the named replica, or to the one at hand."""
        self._shells.copy(self._going.replica_meant(argument))

    def do_open(self, argument: str) -> None:
        """Opens what is named."""
        self._going.thing(argument)

    def open_named(self, name: str, kind: str = "") -> None:
        """Opens whatever has a name over what is in front."""
        ways = {"fleet": self._going.fleet, "service": self._going.service}
        ways.get(kind, self._going.thing)(name)

    def do_problems(self, argument: str) -> None:
        """Shows what is wrong."""
        self._show_list(places.PROBLEMS)

    def do_events(self, argument: str) -> None:
        """Shows what happened, in the project or to what is named."""
        if argument:
            self._going.events(argument)
        else:
            self._show_list(places.EVENTS)

    def do_history(self, argument: str) -> None:
        """Shows the deployments of the service that is named, or of the one at hand."""
        self._going.history(argument)

    def do_runs(self, argument: str) -> None:
        """Shows all runs over what is in front, once."""
        from dstack_fleets_tui.screens.runs import RunsScreen

        if not isinstance(self.screen, RunsScreen):
            self.push_screen(RunsScreen())

    def _show_list(self, mode: str) -> None:
        """Goes to a list where it was left; once there, leaves all that is open over it."""
        if mode != self.current_mode:
            self.switch_mode(mode)
            return
        for _ in self.screen_stack[1:]:
            self.pop_screen()

    def copy_to_clipboard(self, text: str) -> None:
        """Puts a text on the terminal's clipboard; one that no terminal takes, into a file."""
        self._clipboard = text
        sequence = clipboard_sequence(text, os.environ)
        if sequence is not None and self._driver is not None:
            self._driver.write(sequence)
            first = shorten(one_line(text), _COPIED, self.glyphs.ellipsis)
            self.notify(f"Copied: {first}", markup=False)
            return
        path = Path(f"copied-{utc_now().astimezone():%Y%m%d-%H%M%S}.txt").resolve()
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self.warn(f"{path} can't be written: {error.strerror}. Nothing was copied.")
        else:
            text = f"The terminal's clipboard can't take it: the text is in {path}."
            self.notify(text, markup=False)

    def do_edit(self, argument: str) -> None:
        """Edits the service or the fleet that is open or under the cursor."""
        fleet = self._fleet_at_hand()
        if fleet is not None:
            self.fleet_changes.edit(fleet)
        service = self._service_at_hand()
        if service is not None:
            self.changing.edit(*service)

    def do_logs(self, argument: str) -> None:
        """Shows the logs of what is named, or of the service that is open or under the cursor."""
        if argument:
            self._going.logs(argument)
            return
        run_id = self._in_front.run_of_logs() if self._in_front is not None else None
        if run_id is not None:
            self.open_logs(run_id)
        else:
            self.notify("No service is selected whose logs could be shown.", markup=False)

    def do_undo(self, argument: str) -> None:
        """Plans the way back of the service or the fleet that is open."""
        fleet = self._fleet_at_hand()
        if fleet is not None:
            self.fleet_changes.undo(fleet)
        service = self._service_at_hand()
        if service is not None:
            self.changing.undo(service[0])

    def do_rebalance(self, argument: str) -> None:
        """Moves replicas of the service that is open."""
        service = self._service_at_hand()
        if service is not None:
            self.changing.rebalance(service[0])

    def do_new_fleet(self, argument: str) -> None:
        """Makes a fleet of a template or of a file."""
        self.fleet_changes.new(argument)

    def do_delete(self, argument: str) -> None:
        """Deletes the fleet that is open or under the cursor."""
        fleet = self._fleet_at_hand()
        if fleet is not None:
            self.fleet_changes.delete(fleet)

    def do_stop(self, argument: str) -> None:
        """Stops or deletes the run that is named, open or under the cursor."""
        self._stops.stop(self._going.run_meant(argument))

    def do_cordon(self, argument: str) -> None:
        """Takes what is open or under the cursor out of service."""
        self._change_service("cordon", argument)

    def do_drain(self, argument: str) -> None:
        """Takes it out of service, and has replicas move away."""
        self._change_service("drain", argument)

    def do_uncordon(self, argument: str) -> None:
        """Puts it back in service."""
        self._change_service("uncordon", "")

    def do_whatif(self, argument: str) -> None:
        """Shows what would be left without what is open or under the cursor."""
        from dstack_fleets_tui.screens.whatif import ask_what_if

        if self._in_front is not None:
            ask_what_if(self._in_front, argument)

    def do_charts(self, argument: str) -> None:
        """Shows charts of what is open or under the cursor, or of what is named."""
        from dstack_api_client.trends.trend import Kind, fleet_named, service_named
        from dstack_fleets_tui.screens.charts import ChartsScreen, named

        fleet, service = self._fleet_at_hand(), self._service_at_hand()
        if argument:
            first = Kind.SERVICE if fleet is None else Kind.FLEET
            self.push_screen(ChartsScreen(named(argument, self.snapshot, first)))
        elif fleet is not None:
            self.push_screen(ChartsScreen(fleet_named(fleet.name)))
        elif service is not None:
            self.push_screen(ChartsScreen(service_named(service[0])))
        else:
            self.notify("No service or fleet is selected to show charts of.", markup=False)

    def _change_service(self, action: CordonAction, reason: str) -> None:
        fleet = self._fleet_at_hand()
        screen = self._in_front
        if fleet is not None and screen is not None:
            self.cordon_changes.change(action, fleet, screen.instance_at_hand(), reason)

    def _fleet_at_hand(self) -> Fleet | None:
        return self._in_front.fleet_at_hand() if self._in_front is not None else None

    def _service_at_hand(self) -> tuple[str, str] | None:
        return self._in_front.service_at_hand() if self._in_front is not None else None

    def do_step(self, argument: str) -> None:
        """Shows the next poll of a replay."""
        self._replaying.step(later=True)

    def do_step_back(self, argument: str) -> None:
        """Shows the poll of a replay that was before."""
        self._replaying.step(later=False)

    def do_at(self, argument: str) -> None:
        """Goes to a time of a replay."""
        self._replaying.at(argument)

    def do_speed(self, argument: str) -> None:
        """Plays a replay faster or slower."""
        self._replaying.speed(argument)

    def do_quit(self, argument: str) -> None:
        """Leaves; asks where an edit or a change that is followed is open."""
        self._quitting.quit()

    async def action_quit(self) -> None:
        """Leaves at Ctrl+Q by the same rules as anywhere."""
        self._quitting.quit()

    def action_copy_or_quit(self) -> None:
        """Copies what is selected at Ctrl+C; without that, asks whether to quit."""
        selected = self.screen.get_selected_text() or getattr(self.focused, "selected_text", "")
        if selected:
            self.copy_to_clipboard(selected)
        else:
            self._quitting.quit(ask=True)

    def show_help(self, screen: str) -> None:
        """Shows the keys of a screen."""
        from dstack_fleets_tui.screens.help import HelpScreen

        offered = self.offered(screen)
        self.push_screen(HelpScreen(screen, offered, self.own_keys, ascii_only=self.ascii))

    def do_fault(self, argument: str) -> None:
        """Has something go wrong in the demo."""
        try:
            self.notify(self.demo.set_fault(argument), markup=False)
        except CommandError as error:
            self.warn(str(error))

    def do_messages(self, argument: str) -> None:
        """Shows what was said."""
        from dstack_fleets_tui.screens.messages import MessagesScreen

        self.push_screen(MessagesScreen([*self.said.log], ascii_only=self.ascii))

    def action_command_palette(self) -> None:
        """Opens the palette, with the names of the project of the row under the cursor."""
        from dstack_fleets_tui.screens.lists import ListScreen
        from dstack_fleets_tui.screens.parts.palette import Palette

        if self.use_command_palette and not isinstance(self.screen, Palette):
            if isinstance(self.screen, ListScreen) and not self.screen.takes_in_hand():
                return
            self.push_screen(Palette())

    def search_themes(self) -> None:
        """Offers the themes."""
        from dstack_fleets_tui.screens.parts.palette import Palette

        self.push_screen(Palette(providers=[Themes], placeholder="Search for themes…"))

    def chose_theme(self, name: str) -> None:
        """Shows a theme, and the next time too."""
        self.theme = name
        self.views.change(theme=name)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offers the actions of the screen in front in the palette, and the choice of a theme.

        What was chosen is done only if the screen is in front again.
        """
        from textual.markup import escape

        from dstack_fleets_tui.screens.parts.base import LiveScreen

        def there(command: Callable[[], object]) -> Callable[[], object]:
            return lambda: command() if screen.is_active else None

        if isinstance(screen, LiveScreen):
            for action in self.offered(screen.name_of_screen):
                if not action.on(screen.name_of_screen):
                    continue
                keys = " ".join(map(key_names.key_name, self.keys_of(action)))
                yield SystemCommand(
                    action.title.capitalize(),
                    escape(f"{keys}  {action.help}" if keys else action.help),
                    there(partial(screen.action_do, action.id)),
                )
        yield SystemCommand("Theme", "Choose another theme.", there(self.action_change_theme))
