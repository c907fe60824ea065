"""Shells in replicas, in this terminal: asked for, audited, and closed again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.app import SuspendNotSupported

from dstack_api_client.edits.base.base import Kind, Target
from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.edits.perform.performing import who
from dstack_api_client.model.labels import in_status, job_name
from dstack_api_client.model.replica import Replica
from dstack_api_client.replica.shell import Shell, attach_command, shell_in
from dstack_api_client.text import one_line
from dstack_fleets_tui.changes.service import Changing
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.parts.outside import Signalled, run_outside
from dstack_fleets_tui.screens.parts.questions import ask
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice

#: What OpenSSH ends with where it did not get there, or lost the connection.
_NO_CONNECTION = 255


class Shells:
    """Opens shells for the screens of an app.

    Args:
        app: The app, which steps back meanwhile.
        changing: What all changes share.
    """

    def __init__(self, app: Host, changing: Changing) -> None:
        self._app = app
        self._changing = changing

    def copy(self, replica: Replica) -> None:
        """Copies the command that attaches to a replica."""
        self._app.copy_to_clipboard(attach_command(replica, self._app.project))

    def open(self, replica: Replica) -> None:
        """Opens a shell in a replica that runs, or says why not."""
        if not self._changing.may():
            return
        name = job_name(replica)
        if replica.status != "running":
            told = in_status(replica.status)
            self._app.warn(f"{name} {told}. There is a shell only in one that runs.")
        elif self._changing.under_way:
            self._app.warn("A change is being sent. Wait for the outcome.")
        elif self._app.protected:
            self._confirm(replica)
        else:
            self._begin(replica)

    def _confirm(self, replica: Replica) -> None:
        def answered(key: str | None) -> None:
            if key == "open":
                self._begin(replica)

        self._app.push_screen(
            AskScreen(
                f"Open a shell in {job_name(replica)} in {self._app.place}",
                [literal("What you do there affects a replica that may be serving requests.")],
                (Choice("cancel", "Cancel"), Choice("open", "Open")),
                confirm=replica.run_name,
                ascii_only=self._app.ascii,
            ),
            answered,
        )

    def _begin(self, replica: Replica) -> None:
        sign = f"Looking for the way into {job_name(replica)}."
        self._changing.begin(partial(self._open, replica), sign)

    async def _open(self, replica: Replica) -> None:
        question = ask(self._app)
        source = question.session.source
        if source is None:
            return
        shell = await shell_in(source.client, source.project, replica)
        try:
            user = await who(source.client)
            if not question.refuse_late(f"The shell in {job_name(replica)}"):
                where = Target(source.client.url, source.project, _kind(replica), replica.run_name)
                self._run(shell, replica, lambda what: self._audit(where, replica, user, what))
        finally:
            shell.close()

    def _run(self, shell: Shell, replica: Replica, audit: Callable[[str], None]) -> None:
        """Gives the terminal away until the shell ends; nothing is read meanwhile."""
        audit("opened")
        status, failure, signalled = 0, "", 0
        try:
            with self._app.suspend():
                # What is raised here would leave the terminal to nobody.
                try:
                    status = run_outside(shell.command)
                except Signalled as stopped:
                    signalled = stopped.signal
                except OSError as error:
                    failure = f"{shell.command[0]} can't be started: {error.strerror}."
        except SuspendNotSupported:
            failure = "This terminal can't be given away. Press c for a command to use in another."
        audit(failure or f"ended with status {status}")
        if signalled:
            self._app.end(signalled)
        elif failure:
            self._app.warn(failure)
        elif status == _NO_CONNECTION:
            self._app.warn(f"The connection to {job_name(replica)} was lost, or never opened.")
        else:
            self._app.hurry()

    def _audit(self, target: Target, replica: Replica, user: str, what: str) -> None:
        result = f"A shell in {job_name(replica)} {what}"
        try:
            self._changing.store.audit(target, (), one_line(result), user=user, action="shell")
        except NotKeptError as error:
            self._app.warn(f"The audit log could not be written. {error}")


def _kind(replica: Replica) -> Kind:
    """What the run is, in the audit log."""
    return "service" if replica.run_type == "service" else "run"
