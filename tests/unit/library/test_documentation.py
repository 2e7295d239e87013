# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Every module: what its documentation promises is what its argument_spec takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import add_fragments

ROOT = Path(__file__).resolve().parents[3]
NAMES = sorted(path.stem for path in (ROOT / "library").glob("*.py"))
# Documentation alone; the code is an action plugin, whose own test compares the two.
ACTIONS = {"run_step"}
COMPARED = ("type", "elements", "default", "required", "choices")


class Asked(Exception):
    """Raised in place of a module's start, with what it asked AnsibleModule for."""


def options_of(options: Mapping[str, Any], nested: str) -> dict[str, Any]:
    """Options with what both sides can say of them, the default type and the default answers filled in."""
    found = {}
    for name, option in options.items():
        said = {"type": "str", "required": False} | {
            key: option[key] for key in COMPARED if option.get(key) is not None
        }
        found[name] = said | ({"options": options_of(option[nested], nested)} if option.get(nested) else {})
    return found


def documentation(module: ModuleType) -> dict[str, Any]:
    """A module's documentation with the fragments that it extends, put together as ansible-doc does it."""
    documented: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)
    fragment_loader.add_directory(str(ROOT / "plugins" / "doc_fragments"))
    add_fragments(documented, str(module.__file__), fragment_loader, is_module=True)
    return documented


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ACTIONS])
def test_the_argument_spec_is_the_documentation(
    load_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module = load_module(name)

    def ask(**wanted: Any) -> None:
        raise Asked(wanted)

    monkeypatch.setattr(module, "AnsibleModule", ask)
    with pytest.raises(Asked) as asked:
        module.main()
    wanted = asked.value.args[0]
    documented = documentation(module)
    assert options_of(wanted["argument_spec"], "options") == options_of(documented["options"], "suboptions")
    assert wanted["supports_check_mode"] is True
    assert documented["attributes"]["check_mode"]["support"] == "full"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole(load_module: Callable[[str], ModuleType], name: str) -> None:
    module = load_module(name)
    documented = documentation(module)
    assert documented["module"] == name
    assert not documented["short_description"].endswith(".")
    assert yaml.safe_load(module.EXAMPLES)
    assert all(value["description"] and value["type"] for value in yaml.safe_load(module.RETURN).values())
