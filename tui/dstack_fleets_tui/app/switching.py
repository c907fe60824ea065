"""Switching to other projects, but not away from what is being changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dstack_api_client.connect.connection import ConfigError, Connection, refuse_shared_token
from dstack_api_client.text import one_line
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.actions.project_names import ALL
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.settings.projects import Projects


class Switching:
    """Finds the project that is asked for, and has the app connect to it.

    Args:
        app: The app.
        projects: How other projects are found; None where there is but one.
        in_the_way: What of changes is open, a line each.
        connect: Connects to projects.
    """

    def __init__(
        self,
        app: Host,
        projects: Projects | None,
        in_the_way: Callable[[], Sequence[str]],
        connect: Callable[[Sequence[Connection]], None],
    ) -> None:
        self._app = app
        self._projects = projects
        self._in_the_way = in_the_way
        self._connect = connect

    @property
    def names(self) -> Sequence[str]:
        """The projects of dstack's configuration."""
        found = self._projects.names() if self._projects is not None else ()
        return [*dict.fromkeys(map(one_line, found))]

    def to(self, name: str) -> None:
        """Switches to a project, or to several: `a,b` or `all`; without a name, it is picked.

        Raises:
            CommandError: It is not known where it is, or something is being changed here.
        """
        if name == self._app.project and not self._app.several:
            raise CommandError(f"This is project {one_line(name)}.")
        if self._projects is None:
            raise CommandError("Only this project is known here.")
        if not name:
            self._pick()
            return
        for line in self._in_the_way():
            raise CommandError(f"{line} Finish or leave it before you switch.")
        found = []
        for each in self._projects.meant(name):
            connection = self._projects.connect(each)
            if isinstance(connection, ConfigError):
                raise CommandError(str(connection))
            found.append(connection)
        try:
            refuse_shared_token(found)
        except ConfigError as error:
            raise CommandError(str(error)) from error
        if not found:
            raise CommandError("dstack's configuration has no project here.")
        self._connect(found)

    def _pick(self) -> None:
        here = "" if self._app.several else self._app.project
        names = [(name, "this one" if name == here else "") for name in self.names]
        if len(names) > 1:
            names.append((ALL, "of them in the same lists"))
        if not names:
            raise CommandError("dstack's configuration has no project. Write its name after it.")

        def picked(name: str | None) -> None:
            if name is not None and name != here:
                try:
                    self.to(name)
                except CommandError as error:
                    self._app.warn(str(error))

        screen = PickScreen("Switch to project", names, ascii_only=self._app.ascii)
        self._app.push_screen(screen, picked)
