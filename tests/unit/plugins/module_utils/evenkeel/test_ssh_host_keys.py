# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.ssh_host_keys: whole keys from consoles as cloud-init leaves them, and a known_hosts file of one's own."""

from __future__ import annotations

import base64
import struct

import pytest
from evenkeel import ssh_host_keys
from hypothesis import given
from hypothesis import strategies as st


def key(kind: str, content: bytes) -> str:
    """A key of that type, as it is written: fields with their lengths before them."""
    return base64.b64encode(b"".join(struct.pack(">I", len(part)) + part for part in (kind.encode(), content))).decode()


ED = key("ssh-ed25519", b"a" * 32)
EC = key("ecdsa-sha2-nistp256", b"b" * 65)
RSA = key("ssh-rsa", b"c" * 257)
BLOCK = f"""-----BEGIN SSH HOST KEY KEYS-----
ecdsa-sha2-nistp256 {EC} root@ip-10-0-0-7
ssh-ed25519 {ED} root@ip-10-0-0-7
ssh-rsa {RSA} root@ip-10-0-0-7
-----END SSH HOST KEY KEYS-----
"""
ALL = {"ecdsa-sha2-nistp256": EC, "ssh-ed25519": ED, "ssh-rsa": RSA}


@pytest.mark.parametrize(
    "console",
    [
        BLOCK,
        BLOCK.replace("\n", "\r\n"),
        f"[    0.000000] Linux version 6.1.0\n{BLOCK}[  317.2] cloud-init[1278]: finished\n",
        # Older cloud-init writes through syslog.
        "".join(f"ec2: {line}\n" for line in BLOCK.splitlines()),
        "".join(f"<14>Jan  6 15:27:32 cloud-init: {line}\n" for line in BLOCK.splitlines()),
        # Another writer between two lines.
        BLOCK.replace(f"\nssh-ed25519 {ED}", f"\n[  OK  ] Reached target Cloud-init target.\nssh-ed25519 {ED}"),
        # The fingerprints stand before the keys.
        "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n256 SHA256:8KKn root@vm (ECDSA)\n"
        f"-----END SSH HOST KEY FINGERPRINTS-----\n{BLOCK}",
    ],
)
def test_the_keys_of_a_console_are_found(console: str) -> None:
    assert ssh_host_keys.from_console(console) == ALL


def test_a_key_that_was_cut_off_or_mixed_up_is_none() -> None:
    cut = BLOCK.replace(RSA, RSA[:180])
    assert ssh_host_keys.from_console(cut) == {name: held for name, held in ALL.items() if name != "ssh-rsa"}
    mixed = BLOCK.replace(ED, f"{ED[:20]}[  OK  ] Started.{ED[20:]}")
    assert "ssh-ed25519" not in ssh_host_keys.from_console(mixed)
    claimed = BLOCK.replace(f"ssh-ed25519 {ED}", f"ssh-ed25519 {RSA}")
    assert "ssh-ed25519" not in ssh_host_keys.from_console(claimed)


@pytest.mark.parametrize(
    "console",
    [
        "",
        "[    0.000000] Linux version 6.1.0",
        BLOCK.partition("-----END")[0],
        f"ssh-ed25519 {ED} a user's key in cloud-init's table",
        "-----BEGIN SSH HOST KEY KEYS-----\n-----END SSH HOST KEY KEYS-----",
    ],
)
def test_without_a_whole_block_there_are_none_yet(console: str) -> None:
    assert ssh_host_keys.from_console(console) == {}


def test_of_several_blocks_the_last_whole_one_counts() -> None:
    newer = key("ssh-ed25519", b"n" * 32)
    begun = BLOCK.partition("-----END")[0]
    assert ssh_host_keys.from_console(BLOCK + BLOCK.replace(ED, newer) + begun)["ssh-ed25519"] == newer


def test_lines_of_others_stay_and_one_is_added_once() -> None:
    before = f"# mine\ni-1 ssh-ed25519 {key('ssh-ed25519', b'o' * 32)}\n"
    after = ssh_host_keys.merged(before, "i-2", {"ssh-ed25519": ED, "ecdsa-sha2-nistp256": EC})
    assert after == f"{before}i-2 ecdsa-sha2-nistp256 {EC}\ni-2 ssh-ed25519 {ED}\n"
    assert ssh_host_keys.merged(after, "i-2", {"ssh-ed25519": ED}) == after
    assert ssh_host_keys.known(after, "i-2") == {"ssh-ed25519": ED, "ecdsa-sha2-nistp256": EC}
    assert ssh_host_keys.known(after, "i-3") == {}


def test_a_key_that_changed_is_refused_with_both() -> None:
    before = ssh_host_keys.merged("", "i-2", {"ssh-ed25519": ED})
    other = key("ssh-ed25519", b"x" * 32)
    with pytest.raises(ssh_host_keys.HostKeyChanged) as changed:
        ssh_host_keys.merged(before, "i-2", {"ssh-ed25519": other})
    assert other in str(changed.value) and ED in str(changed.value)


@given(st.text(), st.integers(0, 2000))
def test_whatever_a_console_shows_only_whole_keys_come_of_it(noise: str, cut: int) -> None:
    found = ssh_host_keys.from_console(f"{noise}{BLOCK[:cut]}{noise}\n-----END SSH HOST KEY KEYS-----")
    assert found.items() <= ALL.items()
