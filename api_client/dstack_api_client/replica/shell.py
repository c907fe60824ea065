"""A shell in the container of a job, over SSH as this user logs in elsewhere."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from dstack_api_client import errors
from dstack_api_client.join.logins import NO_PORT, login_of
from dstack_api_client.model.labels import in_status, job_name
from dstack_api_client.model.replica import Replica
from dstack_api_client.private_folder import PrivateFolder
from dstack_api_client.routers.logging_in import attached_way, own_key
from dstack_api_client.routers.ssh import UnsafeNameError, way_by_key
from dstack_api_client.transport.client import Client


class NoShellError(errors.ApiError):
    """No shell can be opened in a job."""

    unsent = True


@dataclass
class Shell:
    """What to run for a shell.

    Attributes:
        command: OpenSSH with its arguments.
        folder: Where its key is; None where it needs none from here.
    """

    command: list[str]
    folder: PrivateFolder | None = None

    def close(self) -> None:
        """Removes the key."""
        if self.folder is not None:
            self.folder.close()


def attach_command(replica: Replica, project: str) -> str:
    """The command of dstack's own client that opens the way to a job."""
    words = ["dstack", "attach", "--project", project, "--replica", str(replica.key.replica_num)]
    if replica.key.job_num:
        words += ["--job", str(replica.key.job_num)]
    return shlex.join([*words, replica.run_name])


async def shell_in(
    client: Client,
    project: str,
    replica: Replica,
    *,
    program: str = "ssh",
    parent: Path | None = None,
    attached: Path | None = None,
) -> Shell:
    """Finds the way into a job: by the user's key from the server, or as `dstack attach` wrote it.

    Args:
        client: Where the server is asked for the job as it is now, and for the key.
        project: The project.
        replica: The replica, or another run's job.
        program: OpenSSH's client.
        parent: Where the key's folder is made; the user's runtime folder if None.
        attached: dstack's own SSH configuration; that in the user's home if None.

    Returns:
        What to run; to be closed once it has ended.

    Raises:
        NoShellError: It does not run, or nobody says how to get there.
        ApiError: The server can't be asked.
    """
    name = job_name(replica)
    if shutil.which(program) is None:
        raise NoShellError(
            f"{program} is not installed on this machine.", "Install OpenSSH's client."
        )
    run = await client.runs.get(project, run_id=replica.key.run_id)
    numbers = (replica.key.replica_num, replica.key.job_num)
    found = (
        each
        for each in run.latest()
        if (each[0].job_spec.replica_num, each[0].job_spec.job_num) == numbers
    )
    job, latest = next(found, (None, None))
    if job is None or latest is None:
        raise NoShellError(f"{name} is gone.", "Open a replica that runs.")
    if latest.status != "running":
        raise NoShellError(
            f"{name} {in_status(latest.status)}.", "There is a shell only in one that runs."
        )
    login = login_of(run.read_spec, job, latest, port=NO_PORT)
    if login is None:
        raise NoShellError(f"The server does not say how to reach {name}.", "Try again later.")
    text, why = await own_key(client, login, replica.run_name, run.user)
    if text:
        folder = PrivateFolder(parent)
        try:
            way = way_by_key(login, folder.write("key", text))
            config = folder.write("config", way.config or "")
        except UnsafeNameError as error:
            folder.close()
            raise NoShellError(
                f"The SSH address of {name} can't be used: {str(error).rstrip('.')}.",
                "Nothing was opened.",
            ) from error
        except BaseException:
            folder.close()
            raise
        return Shell([program, *way.shell(config)], folder)
    way_there = attached_way(replica, login, attached)
    if way_there is None:
        raise NoShellError(
            f"{why}.", f"Run {attach_command(replica, project)} in another terminal, and try again."
        )
    return Shell([program, *way_there[0].shell(way_there[1])])
