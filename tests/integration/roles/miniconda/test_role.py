# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The role miniconda with a stand-in of the installer: whole or not at all, once, and gone when nothing uses it."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.standins.conda_mirror import Mirror, conda_mirror, environment

ROLE = {"ansible.builtin.include_role": {"name": "miniconda"}}
RETIRE = {"ansible.builtin.include_role": {"name": "miniconda", "tasks_from": "retire"}}
RESET = {"ansible.builtin.include_role": {"name": "reset"}}
PYTHON = platform.python_version()
VERSION = "Miniforge3-1.0-0"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Conda's installer refuses spaces."""
    return tmp_path / "state"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home and the environment of somebody who uses Conda already."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / ".condarc").write_text("channels: [another]\n")
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CONDARC", str(folder / ".condarc"))
    monkeypatch.setenv("CONDA_PREFIX", "/opt/another")
    monkeypatch.setenv("PYTHONPATH", "")
    # Ansible's own files go elsewhere, so that everything else in this home is a trace.
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def mirror(tmp_path: Path, home: Path) -> Iterator[Mirror]:
    with conda_mirror(tmp_path / "mirror") as running:
        yield running


def variables(mirror: Mirror, *versions: str, **changed: Any) -> dict[str, Any]:
    published = [mirror.add(version) for version in (VERSION, *versions)]
    return {
        "miniconda_version": VERSION,
        "miniconda_installers": {name: entry for each in published for name, entry in each.items()},
        "miniconda_python_version": PYTHON,
        "miniconda_mirror": f"{mirror.url}/",
        "python_env_manager": "miniconda",
        "results_dir": f"{mirror.folder}-results",
        "arm": "server",
        "reset_packages": False,
        "reset_images": False,
        **changed,
    }


def prefix(state: Path, version: str = VERSION) -> Path:
    return state / f"miniconda-{version}-python-{PYTHON}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_installed_once_beside_no_trace_and_goes_with_a_reset(
    play: Callable[..., Any], state: Path, mirror: Mirror, home: Path
) -> None:
    asked = variables(mirror)
    rehearsed = play(ROLE, check=True, **asked)
    assert rehearsed.ok and not state.exists(), rehearsed.text

    first = play(ROLE, **asked)
    assert first.ok, first.text
    assert mirror.asked == [f"/conda/{VERSION}-Linux-{platform.machine()}.sh", "/conda-forge/noarch/repodata.json"]
    program = prefix(state) / "envs" / "python" / "bin" / "python"
    where = subprocess.run(
        [program, "-I", "-c", "import sys; print(sys.base_prefix)"], check=True, capture_output=True, text=True
    )
    assert where.stdout.strip() == str(program.parents[1])
    record = json.loads((prefix(state) / "evenkeel.json").read_text())
    (entry,) = asked["miniconda_installers"][VERSION].values()
    assert record == {"version": VERSION, "python": PYTHON, "source": f"sha256:{entry['sha256']}"}
    # The installer, its home and the packages' folder are gone; nothing is outside the folder.
    assert names(state) == ["manifest.json", prefix(state).name]
    assert "pkgs" not in names(prefix(state))
    assert names(home) == [".condarc"]

    again = play(ROLE, **asked)
    assert (again.ok, again.changed) == (True, 0), again.text
    checked = play(ROLE, check=True, **asked)
    assert (checked.ok, checked.changed) == (True, 0), checked.text
    kept = play(RETIRE, **asked)
    assert (kept.ok, kept.changed) == (True, 0), kept.text
    assert len(mirror.asked) == 2

    done = play(RESET, settings_env_dir=f"{state}/envs", **asked)
    assert done.ok and not state.exists(), done.text


def test_what_was_cut_short_or_does_not_run_is_made_anew(play: Callable[..., Any], state: Path, mirror: Mirror) -> None:
    asked = variables(mirror)
    # Killed while it unpacked: no record, half a folder, and the download beside it.
    (prefix(state) / "bin").mkdir(parents=True)
    (prefix(state) / "conda-meta").mkdir()
    (state / ".miniconda" / "home").mkdir(parents=True)
    (state / ".miniconda" / "part.sh").write_text("half of")
    first = play(ROLE, **asked)
    assert first.ok and names(state) == ["manifest.json", prefix(state).name], first.text

    (prefix(state) / "envs" / "python" / "bin" / "python").unlink()
    rehearsed = play(ROLE, check=True, **asked)
    assert rehearsed.ok and not (prefix(state) / "envs" / "python" / "bin" / "python").exists(), rehearsed.text
    mended = play(ROLE, **asked)
    assert mended.ok and mended.changed, mended.text
    assert play(ROLE, **asked).changed == 0


def test_what_cannot_be_installed_is_named_before_anything_is_made(
    play: Callable[..., Any], attempt: Callable[..., dict[str, Any]], state: Path, mirror: Mirror
) -> None:
    asked = variables(mirror)
    terms = "Miniconda3-py311_1.0-0"
    with_terms = asked["miniconda_installers"] | mirror.add(terms)
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"miniconda_version": "Miniforge3-9.9-9"},
            "Conda's installer Miniforge3-9.9-9 cannot be chosen for localhost",
        ),
        (
            {"miniconda_installers": {VERSION: {"s390x": {"url": "https://a.example/x.sh", "sha256": "ab" * 32}}}},
            f"({platform.machine()}): there is no checksum of it. This version has one for s390x. Choose a version that"
            " has one (roles/miniconda/vars/main.yml lists them)",
        ),
        ({"miniconda_python_version": "3.11"}, "miniconda_python_version=3.11: give all three numbers"),
        (
            {"miniconda_version": terms, "miniconda_installers": with_terms},
            "only when you accept Anaconda's terms of service; they say who may use it without a paid licence. Read"
            " https://www.anaconda.com/legal, then run this again with `-e miniconda_accept_terms=true`; or choose an"
            f" installer that has no such terms, for example `-e miniconda_version={VERSION}`.",
        ),
        ({"evenkeel_state_dir": f"{state} of mine"}, "the path must have no spaces or quotation marks"),
        ({"evenkeel_state_dir": f"{state}/{'x' * 190}"}, "and at most 200 characters"),
        ({"miniconda_free_gib": 900000}, "are needed. Make room there"),
    ]
    states = [state / str(number) for number in range(len(cases))]
    done = play(
        *(
            attempt(ROLE, **asked | {"evenkeel_state_dir": str(place)} | changed)
            for place, (changed, _) in zip(states, cases, strict=True)
        )
    )
    for said, (_, message) in zip(done.text.split("FAILED: ")[1:], cases, strict=True):
        assert message in said, done.text
    # What is refused makes no folder of Conda's.
    assert [path for path in state.parent.rglob("*miniconda*") if state in path.parents or " " in path.name] == []
    assert mirror.asked == []

    accepted = {"miniconda_version": terms, "miniconda_installers": with_terms, "miniconda_accept_terms": True}
    done = play(ROLE, **asked | accepted)
    assert done.ok and prefix(state, terms).is_dir(), done.text


def test_what_fails_on_the_way_is_named_and_leaves_nothing(
    play: Callable[..., Any], attempt: Callable[..., dict[str, Any]], state: Path, mirror: Mirror, home: Path
) -> None:
    asked = variables(mirror)
    installers = asked["miniconda_installers"]
    (entry,) = installers[VERSION].values()
    wanted = "cd" * 32
    other = {VERSION: {platform.machine(): entry | {"sha256": wanted}}}
    absent = {VERSION: {platform.machine(): entry | {"url": "https://a.example/conda/absent.sh"}}}
    url = f"{mirror.url}/conda/{VERSION}-Linux-{platform.machine()}.sh"
    nothing = f"{VERSION} could not be installed on localhost, and nothing of it was left:"
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"miniconda_installers": other},
            f"{url} is not the file that was expected: its SHA-256 is {entry['sha256']}, and Conda's installer"
            f" {VERSION} for {platform.machine()} has {wanted}.",
        ),
        ({"miniconda_installers": absent}, f"could not be downloaded from {mirror.url}/conda/absent.sh"),
        (
            {"miniconda_mirror": "http://127.0.0.1:9"},
            "`make mirror-list` names on a server of your own and set `miniconda_mirror`",
        ),
        (
            {"miniconda_environment": {"EVENKEEL_STANDIN_FAULT": "unpack"}},
            f"{nothing} the installer ended with exit code 1. The end of its output: PREFIX={prefix(state)}",
        ),
        (
            {"miniconda_environment": {"EVENKEEL_STANDIN_FAULT": "full"}},
            f"{nothing} the disk is full. Make room in {state}, or choose another place with `-e evenkeel_state_dir=",
        ),
        (
            {"miniconda_environment": {"EVENKEEL_STANDIN_FAULT": "wrong"}},
            f"{nothing} the interpreter does not say that it is Python {PYTHON}. The end of its output: 3.9.9",
        ),
        (
            {"miniconda_python_version": "3.11.99"},
            f"{nothing} Conda could not make Python 3.11.99 from {mirror.url}/conda-forge (exit code 1)."
            " Where that channel is out of reach, set `miniconda_mirror`",
        ),
        (
            {"miniconda_environment": {"EVENKEEL_STANDIN_FAULT": "slow"}, "miniconda_deadline_seconds": 1},
            f"{nothing} it took longer than miniconda_deadline_seconds=1. Run it again, or give it more time.",
        ),
    ]
    states = [state / str(number) for number in range(len(cases))]
    done = play(
        *(
            attempt(ROLE, **asked | {"evenkeel_state_dir": str(place)} | changed)
            for place, (changed, _) in zip(states, cases, strict=True)
        )
    )
    for place, said, (_, message) in zip(states, done.text.split("FAILED: ")[1:], cases, strict=True):
        assert message.replace(str(state), str(place)) in said, done.text
        assert names(place) == ["manifest.json"], message
    (mirror.folder / "conda-forge" / "noarch" / "repodata.json").unlink()
    done = play(attempt(ROLE), evenkeel_state_dir=str(state / "last"), **asked)
    assert "CondaHTTPError (stand-in): no connection" in done.text and names(state / "last") == ["manifest.json"]
    assert names(home) == [".condarc"]


def test_another_version_stands_beside_the_former_until_nothing_uses_that(
    play: Callable[..., Any], state: Path, mirror: Mirror
) -> None:
    newer = "Miniforge3-2.0-0"
    asked = variables(mirror, newer)
    assert play(ROLE, **asked).ok
    former = prefix(state)
    bumped = asked | {"miniconda_version": newer}
    done = play(ROLE, RETIRE, check=True, **bumped)
    assert done.ok and names(state) == ["manifest.json", former.name], done.text

    # Both are asked for by the real path, as the kernel has it, though the state directory be a link.
    real = state.rename(state.with_name("real"))
    state.symlink_to(real)

    # A service that runs on it, and a release that is made of it and does not run.
    release = state / "server" / "releases" / "1"
    release.mkdir(parents=True)
    (release / "pyvenv.cfg").write_text(f"home = {former}/envs/python/bin\nversion_info = {PYTHON}\n")
    service = subprocess.Popen(
        [former / "envs" / "python" / "bin" / "python", "-I", "-c", "input()"], stdin=subprocess.PIPE
    )
    try:
        done = play(ROLE, RETIRE, **bumped)
        assert done.ok and former.is_dir() and prefix(state, newer).is_dir(), done.text
        (release / "pyvenv.cfg").unlink()
        assert play(RETIRE, **bumped).ok and former.is_dir()
    finally:
        service.communicate(b"\n", timeout=10)
    (release / "pyvenv.cfg").write_text(f"home = {former}/envs/python/bin\n")
    assert play(RETIRE, **bumped).ok and former.is_dir()
    (release / "pyvenv.cfg").write_text(f"home = {prefix(state, newer)}/envs/python/bin\n")
    # A folder of that name that was not made here stays.
    (state / "miniconda-of-somebody").mkdir()
    rehearsed = play(RETIRE, check=True, **bumped)
    assert (rehearsed.ok, rehearsed.changed) == (True, 2) and former.is_dir(), rehearsed.text
    gone = play(RETIRE, **bumped)
    assert (gone.ok, gone.changed) == (True, 2) and not former.exists(), gone.text
    assert prefix(state, newer).is_dir() and (state / "miniconda-of-somebody").is_dir()
    assert play(RETIRE, **bumped).changed == 0

    # Where the host's own interpreter is used, the last one goes as well.
    (release / "pyvenv.cfg").unlink()
    last = play(RETIRE, **bumped | {"python_env_manager": "venv"})
    assert (last.ok, last.changed) == (True, 2) and not prefix(state, newer).exists(), last.text
