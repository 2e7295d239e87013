#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: manifest
short_description: Writes down what a role is about to make on a host
description:
  - Adds entries to C(manifest.json) in the state directory before the things they name are made.
  - Whether a thing was there before is found out at that moment and never changed afterwards, so that a reset removes
    what the toolkit made and leaves what it found.
  - Without O(entries) it reads the manifest and changes nothing.
options:
  path:
    description: The manifest file.
    type: path
    required: true
  role:
    description: The role that makes the things.
    type: str
  entries:
    description: The things.
    type: list
    elements: dict
    suboptions:
      kind:
        description: V(path) for a file or folder, V(package) for a distribution package, V(process) for a daemon.
        type: str
        required: true
        choices: [path, package, process]
      name:
        description: The path, the package's name, or the process's pid file.
        type: str
        required: true
attributes:
  check_mode:
    description: Says whether an entry would be added.
    support: full
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Write down the folder that comes next
  manifest:
    path: /var/lib/evenkeel/manifest.json
    role: python_env
    entries:
      - {kind: path, name: /var/lib/evenkeel/service}
"""

RETURN = r"""
entries:
  description: All entries, oldest first; each with C(role), C(kind), C(name) and C(existed_before).
  returned: always
  type: list
  elements: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import manifest


def exists(module, entry):
    """Whether the thing an entry names is on the host now."""
    if entry["kind"] == "package":
        query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}", entry["name"]]
        rc, status, _errors = module.run_command(query)
        return rc == 0 and status == "installed"
    return os.path.lexists(entry["name"])


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "role": {"type": "str"},
            "entries": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "kind": {"type": "str", "required": True, "choices": ["path", "package", "process"]},
                    "name": {"type": "str", "required": True},
                },
            },
        },
        required_by={"entries": "role"},
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LANGUAGE": "C", "LC_ALL": "C"}
    path, role = module.params["path"], module.params["role"]
    wanted = [
        {"role": role, "kind": entry["kind"], "name": entry["name"], "existed_before": exists(module, entry)}
        for entry in module.params["entries"] or []
    ]
    try:
        known = manifest.load(path)
        entries = manifest.with_entries(known, wanted)
        if entries != known and not module.check_mode:
            manifest.save(path, entries)
    except (manifest.ManifestError, OSError) as error:
        module.fail_json(msg=f"The manifest could not be kept: {error}", operation="manifest", path=path)
    module.exit_json(changed=entries != known, entries=entries)


if __name__ == "__main__":
    main()
