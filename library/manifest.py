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
        description:
          - V(path) for a file or folder, V(package) for a distribution package, V(process) for a daemon.
          - V(user) is a system user, V(unit) a unit of the machine's systemd.
          - V(container), V(image), V(network) and V(volume) are the Docker engine's; V(cluster) is a KinD cluster.
          - V(sysctl) is a kernel setting. It always exists; its value is kept as C(previous).
          - V(release), V(namespace), V(secret) and V(function) are a cluster's, told from others by their names alone.
            V(instance), V(key_pair) and V(security_group) are a cloud's. Their roles look for what was there before,
            and write down only what was not.
        type: str
        required: true
        choices:
          - path
          - package
          - process
          - user
          - unit
          - container
          - image
          - network
          - volume
          - cluster
          - sysctl
          - release
          - namespace
          - secret
          - function
          - instance
          - key_pair
          - security_group
      name:
        description: The path, the process's pid file, or the name of the thing.
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
  description:
    - All entries, oldest first, each with C(role), C(kind), C(name) and C(existed_before), a V(sysctl) also with
      C(previous).
    - Folders that were missing above the manifest's own come first, as V(parent); a reset removes those that are empty.
  returned: always
  type: list
  elements: dict
"""

import os
import pwd
from shutil import which

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import manifest

KINDS = (
    *("path", "package", "process", "user", "unit"),
    *("container", "image", "network", "volume", "cluster"),
    *("sysctl", "release", "namespace", "secret", "function"),
    *("instance", "key_pair", "security_group"),
)

UNITS = "/etc/systemd/system"


def succeeds(module, argv):
    """The standard output of a command that ended with 0, else None; also where there is no such program."""
    rc, stdout, _errors = module.run_command(argv) if which(argv[0]) else (1, "", "")
    return stdout if rc == 0 else None


def exists(module, entry):
    """Whether the thing an entry names is there now."""
    kind, name = entry["kind"], entry["name"]
    if kind in ("path", "process", "unit"):
        return os.path.lexists(os.path.join(UNITS, name) if kind == "unit" else name)
    if kind == "user":
        return any(user.pw_name == name for user in pwd.getpwall())
    if kind == "package":
        return succeeds(module, ["dpkg-query", "--show", "--showformat", "${db:Status-Status}", name]) == "installed"
    if kind in ("container", "image", "network", "volume"):
        return succeeds(module, ["docker", kind, "inspect", "--format", "there", name]) is not None
    if kind == "cluster":
        label = f"label=io.x-k8s.kind.cluster={name}"
        return bool((succeeds(module, ["docker", "ps", "--all", "--quiet", "--filter", label]) or "").strip())
    return kind == "sysctl"


def recorded(module, role, entry):
    """An entry as it is written down."""
    kept = {"role": role, "kind": entry["kind"], "name": entry["name"], "existed_before": exists(module, entry)}
    if entry["kind"] == "sysctl":
        with open(os.path.join("/proc/sys", entry["name"].replace(".", "/")), encoding="ascii") as stream:
            kept["previous"] = stream.read().strip()
    return kept


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "role": {"type": "str"},
            "entries": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "kind": {"type": "str", "required": True, "choices": list(KINDS)},
                    "name": {"type": "str", "required": True},
                },
            },
        },
        required_by={"entries": "role"},
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LANGUAGE": "C", "LC_ALL": "C"}
    path, role = module.params["path"], module.params["role"]
    try:
        wanted = [recorded(module, role, entry) for entry in module.params["entries"] or []]
        known = manifest.load(path)
        if wanted and not known:
            wanted = [*({"role": role, **parent} for parent in manifest.missing_parents(path)), *wanted]
        entries = manifest.with_entries(known, wanted)
        if entries != known and not module.check_mode:
            manifest.save(path, entries)
    except (manifest.ManifestError, OSError) as error:
        module.fail_json(msg=f"The manifest could not be kept: {error}", operation="manifest", path=path)
    module.exit_json(changed=entries != known, entries=entries)


if __name__ == "__main__":
    main()
