# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""requirements/mirror_list.py: what it finds in roles, Dockerfiles and locks, and what it refuses to list."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
SUM, DIGEST = "ab" * 32, "sha256:" + "cd" * 32


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evenkeel_mirror_list", ROOT / "requirements" / "mirror_list.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def tree(folder: Path, variables: object, defaults: object = None) -> Path:
    """A project with one role of those variables."""
    for name, content in (("vars", variables), ("defaults", defaults)):
        (folder / "roles" / "tool" / name).mkdir(parents=True)
        (folder / "roles" / "tool" / name / "main.yml").write_text(yaml.safe_dump(content))
    (folder / "requirements").mkdir()
    return folder


def test_a_roles_downloads_are_found_however_deep_and_completed(module: ModuleType, tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "tool_releases": {
                "1.2": {"amd64": {"url": "https://a.example/{{ tool_name }}-{{ tool_version }}", "sha256": SUM}}
            }
        },
        {"tool_version": "1.2", "tool_name": "x{{ tool_version }}"},
    )
    assert module.rows(root) == [("file", "https://a.example/x1.2-1.2", f"sha256:{SUM}", "roles/tool")]


@pytest.mark.parametrize("checksum", [None, "", "ab" * 31, "{{ other_checksum }}", "AB" * 32])
def test_a_download_without_a_checksum_is_refused(module: ModuleType, tmp_path: Path, checksum: str | None) -> None:
    mapping = {"url": "https://a.example/f"} | ({} if checksum is None else {"sha256": checksum})
    with pytest.raises(module.MirrorListError, match=r"roles/tool: https://a\.example/f has no SHA-256"):
        module.rows(tree(tmp_path, {"tool_download": mapping}))


def test_an_address_that_needs_other_variables_is_refused(module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(module.MirrorListError, match="not a whole address"):
        module.rows(tree(tmp_path, {"tool": {"url": "https://a.example/{{ elsewhere }}", "sha256": SUM}}))


def test_only_the_chosen_version_is_listed_and_the_others_have_checksums_too(
    module: ModuleType, tmp_path: Path
) -> None:
    def version(name: str, checksum: str) -> dict[str, object]:
        return {"amd64": {"url": f"https://a.example/{name}", "sha256": checksum}}

    releases = {"1.0": version("old", SUM), "2.0": version("new", SUM)}
    pictures = {"1.0": "ghcr.io/a/b:1", "2.0": "ghcr.io/a/b:2"}
    defaults = {"tool_version": "2.0"}
    (tmp_path / "whole").mkdir()
    root = tree(tmp_path / "whole", {"tool_downloads": releases, "tool_images": pictures}, defaults)
    assert [row[1] for row in module.rows(root)] == ["https://a.example/new", "ghcr.io/a/b:2"]
    releases["1.0"] = version("old", "")
    (tmp_path / "lacking").mkdir()
    with pytest.raises(module.MirrorListError, match=r"a\.example/old has no SHA-256"):
        module.rows(tree(tmp_path / "lacking", {"tool_downloads": releases}, defaults))


def test_images_have_their_digest_where_it_is_known(module: ModuleType, tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "tool_images": [
                "ghcr.io/a/b:1.0",
                f"kindest/node:v1@{DIGEST}",
                f"registry@{DIGEST}",
                "built-here:1",
                "some/built:1",
                "{{ elsewhere }}",
            ],
            "tool_versions": {"1": {"image": "quay.io/c/d:2"}},
            "tool_label": "ghcr.io/no/image:1",
        },
    )
    dockerfile = root / "function" / "template" / "t" / "Dockerfile"
    dockerfile.parent.mkdir(parents=True)
    dockerfile.write_text(
        "ARG BASE_IMAGE=docker.io/library/debian:12\nARG A_IMAGE=ghcr.io/a/b:1.0\nARG OTHER=ghcr.io/e/f:1\n"
    )
    rows = module.rows(root)
    assert ("image", "ghcr.io/a/b:1.0", "-", "function/template/t/Dockerfile, roles/tool") in rows
    assert [row[:3] for row in rows] == [
        ("image", "docker.io/kindest/node:v1", DIGEST),
        ("image", "docker.io/library/debian:12", "-"),
        ("image", "docker.io/library/registry", DIGEST),
        ("image", "ghcr.io/a/b:1.0", "-"),
        ("image", "quay.io/c/d:2", "-"),
    ]


def test_a_lock_is_named_with_the_number_of_its_sums(module: ModuleType, tmp_path: Path) -> None:
    root = tree(tmp_path, {})
    (root / "requirements" / "a.txt").write_text(
        f"x==1 \\\n    --hash=sha256:{SUM} \\\n    --hash=sha256:{'12' * 32}\ny==2 \\\n    --hash=sha256:{SUM}\n"
    )
    assert module.rows(root) == [("lock", "a.txt", "2 sha256", "requirements/a.txt")]


def test_the_projects_own_list_is_whole() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "requirements" / "mirror_list.py")], check=True, capture_output=True, text=True
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines == sorted(lines) and {len(line) for line in lines} == {4}
    listed = {name: checksum for _kind, name, checksum, _source in lines}
    chart = yaml.safe_load((ROOT / "roles/openfaas/vars/main.yml").read_text())["openfaas_charts"]["15.0.6"]
    assert listed[chart["url"]] == f"sha256:{chart['sha256']}"
    assert listed["ghcr.io/openfaas/gateway:0.27.13"] == "-"
    assert int(listed["service.txt"].split()[0]) > 20
    conda = yaml.safe_load((ROOT / "roles/miniconda/vars/main.yml").read_text())["miniconda_installers"]
    for version, downloads in conda.items():
        for download in downloads.values():
            wanted = f"sha256:{download['sha256']}" if version == "Miniforge3-25.3.1-0" else None
            assert listed.get(download["url"]) == wanted


def test_a_missing_checksum_ends_the_command(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOT", tree(tmp_path, {"tool": {"url": "https://a.example/f"}}))
    with pytest.raises(SystemExit, match=r"^mirror-list: roles/tool: https://a\.example/f has no SHA-256"):
        module.main()
