# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""In which order a reset undoes what was made."""

from __future__ import annotations

from pathlib import Path

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[4]


MADE = ("kind", "openfaas", "function", "platform_docker", "flask_app")


def test_the_newest_role_comes_first_and_images_and_engine_last() -> None:
    loader = DataLoader()
    known = loader.load_from_file(str(ROOT / "roles" / "reset" / "vars" / "main.yml"), trusted_as_template=True)
    # The manifest backwards, as the role takes it.
    manifest = [{"role": role} for role in [*reversed(MADE), "image_build", "docker", MADE[0]]]
    templar = Templar(loader, known | {"reset_manifest": manifest})
    assert templar.template(known["reset_order"]) == [*reversed(MADE), "image_build", "docker"]
