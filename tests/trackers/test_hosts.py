from __future__ import annotations

import re
import socket

import pytest

from harness.trackers.hosts import exposure_warning, forwarding, is_local, names_of, own_url, url


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_local_hosts_are_for_this_machine_alone(host: str) -> None:
    assert is_local(host)
    assert names_of(host) == []
    assert exposure_warning(host) == []


def test_names_of_all_addresses_are_those_of_this_machine() -> None:
    names = names_of("0.0.0.0")
    assert socket.gethostname().lower() in names
    assert "127.0.0.1" in names
    assert names_of("box.example") == ["box.example"]
    assert "No password is asked" in exposure_warning("0.0.0.0")[0]


def test_url_names_the_machine_if_it_listens_on_all_addresses() -> None:
    assert url("0.0.0.0", 6006) == f"http://{socket.gethostname()}:6006"
    assert own_url("0.0.0.0", 6006) == "http://127.0.0.1:6006"
    assert own_url("::", 6006) == "http://[::1]:6006"
    assert url("127.0.0.1", 6006) == own_url("127.0.0.1", 6006) == "http://127.0.0.1:6006"
    assert url("::1", 1) == "http://[::1]:1"


def test_forwarding_names_all_ports_and_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    told, command = forwarding([6006, 5000], environment={"SSH_CONNECTION": "203.0.113.5 50000 192.0.2.7 22"})
    assert "over SSH" in told
    assert command == "  ssh -N -L 6006:127.0.0.1:6006 -L 5000:127.0.0.1:5000 ann@192.0.2.7"
    assert forwarding([1], environment={"SSH_CONNECTION": "a 1 b 2222"})[1] == "  ssh -N -p 2222 -L 1:127.0.0.1:1 ann@b"
    assert re.search(r"ann@HOST$", forwarding([1], environment={"SSH_CONNECTION": "odd"})[1])


@pytest.mark.parametrize(
    ("host", "forwards"),
    [
        ("::1", "-L '6006:[::1]:6006'"),  # quoted, because zsh takes brackets for a pattern
        ("localhost", "-L 6006:localhost:6006"),
        ("127.0.0.2", "-L 127.0.0.2:6006:127.0.0.2:6006"),  # where the browser looks for the page
    ],
)
def test_forwarding_leads_to_the_address_that_the_servers_listen_on(host: str, forwards: str) -> None:
    assert f" {forwards} " in forwarding([6006], host, {"SSH_CONNECTION": "a 1 b 22"})[1]


def test_forwarding_is_for_ssh_only() -> None:
    assert forwarding([6006], environment={}) == []
    assert forwarding([], environment={"SSH_CONNECTION": "a 1 b 22"}) == []
