"""A path somebody else chose: a regular file opens, anything else is refused at once."""

import os
import socket

import pytest

from segcli.regular_file import NotRegularError, TooLargeError, open_regular, read_regular


def test_a_file_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"pixels")
    assert read_regular(tmp_path / "a") == b"pixels"


def test_a_file_of_more_bytes_than_allowed_is_refused_by_size(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", limit=5) == b"12345"
    with pytest.raises(TooLargeError, match="more than 4 bytes"):
        read_regular(tmp_path / "a", limit=4)


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotRegularError, match="a pipe, not a file"):
        open_regular(tmp_path / "pipe")


def test_a_folder_a_device_and_a_socket_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket may be 107 characters long
    with pytest.raises(NotRegularError, match="a folder, not a file"):
        open_regular(tmp_path)
    with pytest.raises(NotRegularError, match="a device, not a file"):
        open_regular("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(NotRegularError, match="a socket, not a file"):
            open_regular("socket")


def test_a_link_is_followed_only_if_asked(tmp_path):
    (tmp_path / "a").write_bytes(b"pixels")
    (tmp_path / "link").symlink_to("a")
    assert read_regular(tmp_path / "link") == b"pixels"
    with pytest.raises(OSError, match="symbolic links"):
        read_regular(tmp_path / "link", follow_links=False)
