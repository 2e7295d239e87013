# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What all tests share: the toolkit's modules run as Ansible would run them, in the test's process."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
import pytest
from ansible.module_utils import _internal
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
MODULE_UTILS = str(ROOT / "plugins" / "module_utils")

# Ansible makes `ansible.module_utils.evenkeel` by shipping our package beside its own; here the search path does.
if MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(MODULE_UTILS)

# Property tests try the same examples in every run, however slow the machine is.
settings.register_profile("evenkeel", deadline=None, derandomize=True, database=None)
settings.load_profile("evenkeel")


@pytest.fixture
def load_module() -> Callable[[str], ModuleType]:
    """A function that imports `library/NAME.py` afresh."""

    def load(name: str) -> ModuleType:
        path = ROOT / "library" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"evenkeel_library_{name}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def run_module(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """A function that runs a module's `main()` with `args` and returns its parsed result.

    A result without `failed` has it set to False, so that a test can always ask.
    """
    # On a target nothing of the controller is imported, and a module's warnings are in its result.
    monkeypatch.setattr(_internal, "is_controller", False)

    def run(module: ModuleType, args: Mapping[str, Any], check_mode: bool = False) -> dict[str, Any]:
        monkeypatch.setattr(warnings, "_global_warnings", {})
        control = {"_ansible_check_mode": check_mode, "_ansible_remote_tmp": str(tmp_path / "ansible-tmp")}
        capfd.readouterr()
        with patch_module_args({**args, **control}), pytest.raises(SystemExit) as ended:
            module.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        result.setdefault("failed", False)
        assert bool(ended.value.code) == result["failed"], "the exit code and the result must agree"
        return result

    return run
