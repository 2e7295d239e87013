# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The embedded default through its playbooks: deploy, measure, break, resume, and remove all of it.

On a part of the real CIFAR-10 where its archive is at hand, on the digits that scikit-learn ships elsewhere.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.integration.toolkit import ANSIBLE_PLAYBOOK, ROOT, SHORT, Toolkit, last_line, run_json

pytestmark = pytest.mark.alone

ARCHIVE = Path(os.environ.get("EVENKEEL_CIFAR10_ARCHIVE", ROOT.parent / "shared" / "data" / "cifar10-jpeg.tar.xz"))
IMAGES_A_CLASS = {"train": 200, "test": 100}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A part of CIFAR-10 (JPEG) as a folder of images, None without the archive."""
    if not ARCHIVE.is_file():
        return None
    folder = tmp_path_factory.mktemp("images")
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            parts = member.name.removeprefix("./").split("/")
            if member.isfile() and int(Path(parts[-1]).stem) < IMAGES_A_CLASS[parts[-3]]:
                archive.extract(member, folder, filter="data")
    counts = {part: [len(list(each.iterdir())) for each in (folder / part).iterdir()] for part in IMAGES_A_CLASS}
    assert counts == {part: [number] * 10 for part, number in IMAGES_A_CLASS.items()}
    return folder


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory, images: Path | None) -> Iterator[Toolkit]:
    """Both arms, deployed. Whatever a test leaves running is ended."""
    real = {"dataset": "image_folder", "dataset_options": {"folder": str(images)}, "epochs": 3}
    kit = Toolkit(tmp_path_factory.mktemp("kit"), {"profile": "demo"} | (real if images else {"dataset": "digits"}))
    # The order of these three is the order of a first use.
    rehearsed = kit.play("site", "--check")
    assert rehearsed.returncode == 0, rehearsed.stdout
    assert not kit.state.exists()
    deployed = kit.play("site")
    assert deployed.returncode == 0, deployed.stdout
    yield kit
    for line in kit.processes():
        os.kill(int(line.split()[0]), signal.SIGKILL)


def test_both_arms_answer_the_same(toolkit: Toolkit) -> None:
    answers = {arm: toolkit.ask(arm) for arm in toolkit.ports}
    for answer in answers.values():
        assert answer.pop("instance_id")
    assert answers["server"] == answers["serverless"]
    assert answers["server"]["accuracy"] > 0.25


def test_on_real_cifar_10_the_accuracy_is_well_above_chance(toolkit: Toolkit, images: Path | None) -> None:
    if images is None:
        pytest.skip(f"the real CIFAR-10 images are not at {ARCHIVE} (EVENKEEL_CIFAR10_ARCHIVE names another place)")
    for arm in toolkit.ports:
        answer = toolkit.ask(arm)
        assert (answer["dataset"], answer["total"]) == ("image_folder", 1000)
        # Chance is 0.1, and 0.25 is more than 15 standard deviations of 1,000 guesses above it.
        assert answer["accuracy"] > 0.25


def test_deploying_again_changes_nothing(toolkit: Toolkit) -> None:
    instances = {arm: toolkit.ask(arm, "/ready")["instance_id"] for arm in toolkit.ports}
    again = toolkit.play("site")
    assert again.returncode == 0, again.stdout
    recap = again.stdout[again.stdout.index("PLAY RECAP") :]
    assert recap.count("changed=0") == 2, again.stdout
    assert {arm: toolkit.ask(arm, "/ready")["instance_id"] for arm in toolkit.ports} == instances


def test_what_a_run_would_do_is_said_without_doing_it(toolkit: Toolkit) -> None:
    rehearsed = toolkit.play("benchmark", "--check", **SHORT)
    assert rehearsed.returncode == 0, rehearsed.stdout
    assert not toolkit.results.exists()


def test_a_run_of_both_arms_is_valid_and_can_be_rebuilt_from_its_raw_files(toolkit: Toolkit) -> None:
    counts = SHORT | {"trained_starts": 1, "blocks": 2, "loading_starts": 2, "idle_windows": 1, "idle_seconds": 4}
    done = toolkit.play("benchmark", **counts)
    assert done.returncode == 0, done.stdout
    folder = toolkit.newest_run()
    assert last_line(done) == f"VALID {folder.name}"
    assert "too few blocks" in done.stdout
    run = run_json(folder)
    assert (run["status"], run["valid"], run["parity"]["passed"]) == ("complete", True, True)
    assert run["seed"] == SHORT["run_seed"]
    assert len(run["trials"]) == 4 + 4 + 2 + 4
    assert (toolkit.results / "latest").resolve() == folder
    # Both arms run again, as they did before.
    assert len({toolkit.wait_until_ready(arm) for arm in toolkit.ports}) == 2
    outputs = ("run.json", "report.md", "report.html", "samples.csv", "metrics.prom")
    written = {name: (folder / name).read_bytes() for name in outputs}
    for name in outputs:
        (folder / name).unlink()
    rebuilt = toolkit.play("report", run=folder.name)
    assert rebuilt.returncode == 0, rebuilt.stdout
    assert {name: (folder / name).read_bytes() for name in outputs} == written


def test_one_arm_alone_is_measured_and_compared_with_nothing(toolkit: Toolkit) -> None:
    other = toolkit.wait_until_ready("serverless")
    latest = (toolkit.results / "latest").resolve()
    done = toolkit.play("benchmark", "--limit", "server", **SHORT)
    assert done.returncode == 0, done.stdout
    run = run_json(toolkit.newest_run())
    assert (run["status"], run["valid"]) == ("one_arm", True)
    assert all(metric["verdict"] in (None, "not measured") for metric in run["metrics"])
    # The other arm was stopped for the time of the run, and runs again.
    assert toolkit.wait_until_ready("serverless") != other
    assert (toolkit.results / "latest").resolve() == latest


def test_a_base_run_that_does_not_fit_is_refused_before_anything_is_measured(toolkit: Toolkit) -> None:
    base = (toolkit.results / "latest").resolve().name
    before = sorted(toolkit.results.iterdir())
    fits = toolkit.play("benchmark", "--check", "--limit", "server", base_run=base, **SHORT)
    assert fits.returncode == 0, fits.stdout
    for rehearsed in (["--check"], []):
        options = [*rehearsed, "--limit", "server"]
        refused = toolkit.play("benchmark", *options, base_run=base, **SHORT | {"load_concurrency": 3})
        assert refused.returncode == 2, refused.stdout
        assert "profile.run.load.concurrency is 3 here and 2 there" in " ".join(refused.stdout.split())
    assert sorted(toolkit.results.iterdir()) == before


def interrupted(toolkit: Toolkit, step: str, **settings: Any) -> str:
    """What a run shows that gets Ctrl-C a second after it began a step, named by a part of the step's line."""
    process = subprocess.Popen(
        [ANSIBLE_PLAYBOOK, *toolkit.arguments("benchmark", **settings)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    shown = ""
    for line in process.stdout:
        shown += line
        if line.startswith("[") and step in line:
            break
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    shown += process.communicate(timeout=60)[0]
    assert process.returncode not in (0, None)
    return shown


def test_ctrl_c_says_what_was_left_and_the_run_can_be_resumed(toolkit: Toolkit) -> None:
    shown = interrupted(toolkit, "[6/6]", **SHORT)
    folder = toolkit.newest_run()
    assert f" -e resume={folder.name}" in shown
    planned = {trial["id"]: trial["arm"] for trial in json.loads((folder / "plan.json").read_text())["trials"]}
    (begun,) = [arm for trial, arm in planned.items() if f"interrupted at step {trial}." in shown]
    assert f"The {begun} arm may still be running; the other one is stopped." in shown
    kept = {path.name for path in (folder / "raw").iterdir()}
    told = toolkit.play("report", run=folder.name)
    assert told.returncode == 2
    assert run_json(folder)["status"] == "interrupted"
    resumed = toolkit.play("benchmark", resume=folder.name, **SHORT)
    assert resumed.returncode == 0, resumed.stdout
    assert last_line(resumed) == f"VALID {folder.name}"
    everything = {path.name for path in (folder / "raw").rglob("*")}
    assert kept <= everything
    assert any((folder / "raw" / "superseded").iterdir())


@pytest.mark.parametrize("request_", ["predict", "evaluate"])
def test_an_open_loop_of_both_arms_is_interrupted_and_resumed(toolkit: Toolkit, request_: str) -> None:
    rates = {"request": request_, "fractions": [0.5], "seconds": 4, "arrivals": "poisson", "blocks": 1}
    rest = {"timeout_seconds": 20, "sweep": None}
    rest["capacity"] = {"at_least_seconds": 1, "at_most_requests": 1000, "concurrency": 2}
    settings = SHORT | {"blocks": 2, "load_requests": 8, "open_loop": rates | rest}
    shown = interrupted(toolkit, "open loop", **settings)
    folder = toolkit.newest_run()
    assert f" -e resume={folder.name}" in shown
    resumed = toolkit.play("benchmark", resume=folder.name, **settings)
    run = run_json(folder)
    # What other work takes from an arm's two starts is no fault of either.
    others = [reason for reason in run["invalid_reasons"] if "effective cores" not in reason["message"]]
    assert (run["status"], others) == ("complete", []), resumed.stdout
    # The arm was started anew for what was left, and the turn that was broken off is kept apart.
    assert any((folder / "raw" / "superseded").rglob("b02-*-start.json"))
    found = {one["arm"]: one for one in run["open_loop"]["rates"]}
    assert found.keys() == {"server", "serverless"}
    # The same schedule for both, and each arrival counts once.
    assert found["server"]["requests"]["planned"] == found["serverless"]["requests"]["planned"] > 0
    for one in found.values():
        requests = one["requests"]
        assert requests["sent"] == requests["planned"] == requests["succeeded"] + requests["failed"]
        assert 0 < one["latency_seconds"]["n"] <= requests["planned"]
    assert (folder / "open-loop-server.hdr").read_text().startswith("#")


def test_a_run_is_only_resumed_with_its_own_settings(toolkit: Toolkit) -> None:
    other = toolkit.play("benchmark", resume=toolkit.newest_run().name, **(SHORT | {"load_requests": 6}))
    assert other.returncode == 2
    assert "begun with other settings" in other.stdout
    unknown = toolkit.play("benchmark", resume="20200101T000000Z-000000", **SHORT)
    assert unknown.returncode == 2
    assert "there is no such run" in unknown.stdout


LIES = {
    # What the function's stand-in handler does beside answering: each is a fault that must make a run INVALID.
    "a wrong accuracy": ("wrong_answer", "body = answered.body.replace(b'\"correct\": ', b'\"correct\": 1')"),
    "an accuracy that fits its counts and not the other arm's": (
        "wrong_answer",
        "said = json.loads(body); said['correct'] -= 1; said['accuracy'] = said['correct'] / said['total'];"
        " body = json.dumps(said).encode()",
    ),
    "an error for every second evaluation": ("requests_failed", "status = 500 if calls % 2 == 0 else 200"),
    "death under load": ("requests_failed", "calls == 4 and os._exit(7)"),
}
STANDIN = """

# A stand-in for the handler, made by a test.
import json
import os

honest, calls = handle, 0


def handle(event, context):
    global calls
    answered = service.respond(event.method, event.path, {}, {}, event.body)
    status, body = answered.status, answered.body
    if event.path == "/" and status == 200:
        calls += 1
        FAULT
    return {"statusCode": status, "headers": answered.headers, "body": body.decode("utf-8")}
"""


@pytest.mark.parametrize("lie", LIES)
def test_a_service_that_lies_fails_or_dies_makes_the_run_invalid_and_its_raw_files_stay(
    toolkit: Toolkit, lie: str
) -> None:
    reason, fault = LIES[lie]
    handler = toolkit.state / "serverless" / "app" / "function" / "handler.py"
    honest = handler.read_text()
    handler.write_text(honest + STANDIN.replace("FAULT", fault))
    try:
        done = toolkit.play("benchmark", **SHORT)
    finally:
        handler.write_text(honest)
    folder = toolkit.newest_run()
    assert done.returncode == 2, done.stdout
    assert last_line(done).startswith("INVALID ") and last_line(done).endswith(folder.name)
    run = run_json(folder)
    assert not run["valid"] and all(metric["verdict"] in (None, "not valid") for metric in run["metrics"])
    codes = {found["code"] for found in run["invalid_reasons"]}
    assert reason in codes, run["invalid_reasons"]
    assert (folder / "raw" / "b01-serverless-load.json").exists()


def test_a_service_that_never_gets_ready_is_named_with_its_log(toolkit: Toolkit) -> None:
    handler = toolkit.state / "serverless" / "app" / "function" / "handler.py"
    honest = handler.read_text()
    never = 'body = b"{}" if event.path != "/healthz" else body'
    standin = STANDIN.replace('if event.path == "/" and status == 200:', "if True:").replace(
        "FAULT", f"status = 503\n        {never}"
    )
    handler.write_text(honest + standin + '\nprint("this is the log of the stand-in", flush=True)\n')
    try:
        done = toolkit.play("benchmark", **(SHORT | {"ready_deadline_seconds": 8}))
    finally:
        handler.write_text(honest)
    assert done.returncode == 2
    assert "was not over within 8 s" in done.stdout
    assert "this is the log of the stand-in" in done.stdout
    assert run_json(toolkit.newest_run())["status"] == "interrupted"
    # What the run could not bring back, a deployment does.
    again = toolkit.play("site")
    assert again.returncode == 0, again.stdout


IMAGE_FOLDER = {"dataset": "image_folder"}
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "an unknown profile": (
        "site",
        {"profile": "demos"},
        "there is no profiles/demos.yml. Choose one of demo, paper, thorough",
    ),
    "an unknown platform": ("site", {"platform": "nomad"}, "there is no role platform_nomad"),
    "an unknown data set": ("site", {"dataset": "mnist"}, "value of dataset must be one of: cifar10, digits"),
    "an unknown engine": ("site", {"engine": "fast"}, "value of engine must be one of: reference, got: fast"),
    "no epochs": ("site", {"epochs": 0}, "epochs=0: give a whole number from 1"),
    "epochs in words": ("site", {"epochs": "many"}, "argument 'epochs' is of type str"),
    "a negative number": ("benchmark", {"blocks": -1}, "blocks=-1: give a whole number from 1"),
    "too few requests": ("benchmark", {"load_requests": 1}, "load_requests=1: give a whole number from 2"),
    "a fraction too large": ("benchmark", {"max_error_rate": 1.5}, "max_error_rate=1.5: give a number from 0"),
    "a full disk": ("site", {"preflight_free_gib_installed": 900000}, "Make room there, or choose another place"),
    "an old Python": ("site", {"preflight_python_at_least": "9.9"}, "is too old for the service"),
    "another architecture": ("site", {"preflight_architectures": ["s390x"]}, "PyTorch is published for s390x alone"),
    "a missing folder": ("site", IMAGE_FOLDER | {"dataset_options": {"folder": "/nonexistent"}}, "/nonexistent"),
    "data not prepared": (
        "benchmark",
        {"dataset": "synthetic", "dataset_options": {}},
        "Run `ansible-playbook site.yml",
    ),
    "a build without a lock": ("site", {"torch_build": "cpu"}, "make lock-cpu"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_clear_message(toolkit: Toolkit, case: str) -> None:
    playbook, variables, message = BAD[case]
    before = sorted(toolkit.results.iterdir())
    done = toolkit.play(playbook, **variables)
    assert done.returncode == 2, done.stdout
    assert message in " ".join(done.stdout.split())
    assert sorted(toolkit.results.iterdir()) == before
    assert toolkit.ask("server", "/healthz") is not None


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("empty", "train/cat is empty"),
        ("one class", "has one class, cat; at least 2 are needed"),
        ("no image", "train/cat/0000.jpg is not an image that can be read"),
    ],
)
def test_a_damaged_folder_of_images_is_named(toolkit: Toolkit, tmp_path: Path, damage: str, named: str) -> None:
    folder = tmp_path / "images"
    for part in IMAGES_A_CLASS:
        for name in ("cat",) if damage == "one class" else ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            if damage != "empty":
                Image.new("RGB", (32, 32), (200, 10, 10)).save(folder / part / name / "0000.jpg")
    if damage == "no image":
        (folder / "train" / "cat" / "0000.jpg").write_text("this is no image")
    done = toolkit.play("site", "--tags", "dataset", dataset_options={"folder": str(folder)}, **IMAGE_FOLDER)
    assert done.returncode == 2, done.stdout
    assert named in " ".join(done.stdout.split()) and "Traceback" not in done.stdout


def test_a_port_in_use_is_named_with_its_owner(toolkit: Toolkit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = toolkit.play("site", "--tags", "preflight", "--limit", "server", service_port=port)
    assert done.returncode == 2
    assert f"Port {port} on the-server is in use by pid {os.getpid()}" in " ".join(done.stdout.split())


def test_both_arms_can_be_stopped(toolkit: Toolkit) -> None:
    record = toolkit.state / "server" / "deployed.json"
    deployed = json.loads(record.read_text())
    # As an earlier version of the toolkit wrote it, which knew fewer settings.
    del deployed["service"]["request_threads"]
    record.write_text(json.dumps(deployed))
    done = toolkit.play("stop")
    assert done.returncode == 0, done.stdout
    assert [line for line in toolkit.processes() if "supervisord" not in line] == []


def test_a_reset_leaves_nothing_behind_and_can_be_repeated(toolkit: Toolkit) -> None:
    rehearsed = toolkit.play("reset", "--check")
    assert rehearsed.returncode == 0, rehearsed.stdout
    assert (toolkit.state / "manifest.json").exists()
    done = toolkit.play("reset")
    assert done.returncode == 0, done.stdout
    assert not toolkit.state.exists()
    assert toolkit.processes() == []
    again = toolkit.play("reset")
    assert again.returncode == 0, again.stdout
    assert "changed=0" in again.stdout
