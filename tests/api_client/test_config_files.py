"""Files that hold a token, and files that say whom to trust."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi
import pytest

from dstack_api_client.connect import connection as connection_module
from dstack_api_client.connect.connection import ConfigError, exposure, trust
from dstack_api_client.connect.discovery import Flags, connect
from tests.builders.config_files import MAIN, failure, write

posix = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")


@pytest.fixture
def open_folder(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder that everybody can enter."""
    monkeypatch.setattr(connection_module, "_private_group", lambda uid, gid: False)
    folder = tmp_path / "open"
    folder.mkdir()
    mine = tmp_path_factory.getbasetemp().parent
    for part in (folder, *folder.parents):
        if part.is_relative_to(mine):
            part.chmod(0o755)
    if not all(part.stat().st_mode & 0o001 for part in folder.resolve().parents):
        pytest.skip("the folder for temporary files is private")
    return folder


@posix
@pytest.mark.parametrize(
    ("mode", "readers"),
    [(0o644, "Every user of this machine"), (0o640, "Every user of its group"), (0o600, None)],
)
def test_who_can_read_a_token(open_folder: Path, mode: int, readers: str | None) -> None:
    path = write(open_folder / "config.yml", [MAIN])
    path.chmod(mode)
    warnings = connect(Flags(), {}, path).warnings
    if readers is None:
        assert warnings == ()
    else:
        assert warnings == (f"{readers} can read the token in {path}. Run: chmod 600 {path}",)


@posix
def test_a_folder_that_others_cannot_enter_protects(open_folder: Path) -> None:
    path = write(open_folder / "config.yml", [MAIN])
    path.chmod(0o644)
    assert exposure(path) is not None
    open_folder.chmod(0o700)
    assert exposure(path) is None


@posix
def test_a_group_of_one_is_no_exposure(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(open_folder / "config.yml", [MAIN])
    path.chmod(0o640)
    monkeypatch.setattr(connection_module, "_private_group", lambda uid, gid: True)
    assert exposure(path) is None


@posix
def test_a_token_file_is_looked_at_too(open_folder: Path) -> None:
    path = write(open_folder / "config.yml", [MAIN])
    token = open_folder / "token"
    token.write_text("t")
    token.chmod(0o644)
    (warning,) = connect(Flags(token_file=token), {}, path).warnings
    assert str(token) in warning


@posix
def test_no_warning_about_a_file_whose_token_is_not_used(open_folder: Path) -> None:
    path = write(open_folder / "config.yml", [MAIN])
    path.chmod(0o644)
    assert connect(Flags(), {"DSTACK_TOKEN": "t"}, path).warnings == ()


@posix
def test_a_pipe_can_hold_the_token(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yml", [MAIN])
    reader, writer = os.pipe()
    os.write(writer, b"token-flag\n")
    os.close(writer)
    try:
        connection = connect(Flags(token_file=Path(f"/dev/fd/{reader}")), {}, path)
    finally:
        os.close(reader)
    assert connection.token == "token-flag"


def test_a_ca_file(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yml", [MAIN])
    connection = connect(Flags(), {}, path)
    assert connection.ca_file is None
    assert connection.verify is True
    connection = connect(Flags(ca_file=Path(certifi.where())), {}, path)
    context = connection.verify
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    environ = {"SSL_CERT_FILE": certifi.where()}
    assert connect(Flags(), environ, path).ca_file == Path(certifi.where())


def test_a_ca_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(Path(certifi.where()).read_bytes())
    assert trust(file) is trust(file)
    before = len(trust(file).get_ca_certs())
    whole = file.read_text()
    file.write_text(
        whole[: whole.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    )
    assert len(trust(file).get_ca_certs()) == 1 < before
    file.write_text("nonsense")
    with pytest.raises(ConfigError, match="no usable certificate"):
        trust(file)


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "config.yml", [MAIN])
    missing = tmp_path / "none.pem"
    error = failure(Flags(ca_file=missing), {}, path)
    assert error.message == f"The CA file {missing} can't be read: No such file or directory."
    assert "can't be read" in failure(Flags(), {"SSL_CERT_FILE": str(missing)}, path).message
    empty = tmp_path / "empty.pem"
    empty.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    assert "no usable certificate" in failure(Flags(ca_file=empty), {}, path).message
