#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: openfaas_function
short_description: Deploy or remove a function through an OpenFaaS gateway
description:
  - Compares the function that is deployed with the one that is asked for, and changes it only where they differ.
  - Succeeds only when the gateway reports what was asked for, image included, and the function says that it is ready.
    The answer to the change itself is not believed, since the Community Edition (CE) answers 200 to an update that
    failed.
  - What CE does not report back, which is the environment and the read-only root file system, is known by the hash of
    the whole request in the annotation C(com.evenkeel.spec-sha256). Whoever changes only these two by other means and
    keeps the annotation is not noticed.
  - The gateway says which image is to run, not which one the pod that answers has. An update whose new pod never starts
    leaves the old pod serving; the update itself fails at its deadline, a later run may find the old instance ready.
  - A function without that annotation was not deployed by this module, and is left alone unless O(adopt) is set.
  - Labels and annotations that OpenFaaS adds by itself make no difference. Limits and requests are compared as
    quantities, so that V(2) is V(2000m) and V(4Gi) is V(4294967296).
  - A change of what is in a secret is no change of the function. Its pod sees new values of the keys that were in the
    secret when the function was deployed, and no new keys.
  - Asks the gateway directly, without proxy, and follows no redirect. An authority of one's own is trusted by
    E(SSL_CERT_FILE) in the environment of the task.
options:
  state:
    description:
      - With V(present) the function is as it is asked for when the module ends, or the module fails.
      - With V(absent) the gateway knows no such function any more, which it says when the pods are gone, and a call to
        it finds none.
    type: str
    choices: [present, absent]
    default: present
  gateway_url:
    description:
      - The gateway's address. It must not hold a user name or password.
      - With C(http://) the password crosses the network unencrypted.
    type: str
    required: true
  username:
    description: The gateway's user.
    type: str
    default: admin
  password:
    description:
      - The gateway's password. It is in no output, log or diff.
      - Exactly one of O(password) and O(password_file) is needed.
    type: str
  password_file:
    description: A file on the host that runs the task, with the gateway's password as its only line.
    type: path
  name:
    description: The function's name.
    type: str
    required: true
  namespace:
    description: The namespace of functions; CE has only one.
    type: str
    default: openfaas-fn
  image:
    description:
      - The function's image; needed with O(state=present).
      - CE pulls it whenever a pod starts and refuses one whose manifest it cannot read without credentials. Give a tag
        that names the content, since two contents under one tag are not told apart.
    type: str
  env:
    description: The function's environment. Numbers are taken as they are written; put V("true") in quotation marks.
    type: dict
    default: {}
  secrets:
    description: Names of secrets in O(namespace); their order makes no difference.
    type: list
    elements: str
    default: []
  labels:
    description: Labels of the function's pods.
    type: dict
    default: {}
  annotations:
    description: Annotations of the function and its pods.
    type: dict
    default: {}
  limits:
    description: What the function's pod may use at most; unlimited where nothing is given.
    type: dict
    suboptions:
      cpu:
        description: CPUs, such as V(2) or V(500m).
        type: str
      memory:
        description: Memory, such as V(4Gi) or a number of bytes.
        type: str
  requests:
    description: What a node must have left for the function's pod; not above O(limits).
    type: dict
    suboptions:
      cpu:
        description: CPUs, such as V(2) or V(500m).
        type: str
      memory:
        description: Memory, such as V(4Gi) or a number of bytes.
        type: str
  read_only_root_filesystem:
    description: Whether the function can write to C(/tmp) only.
    type: bool
    default: false
  replace:
    description:
      - How a function that differs is replaced.
      - With V(rolling) the provider updates it. CE takes the old pod away as soon as the new one's watchdog answers,
        2 to 4 seconds after its container's start, and cannot be told to wait for the model. A function that trains
        when it starts is not there from then on until it has trained.
      - With V(recreate) it is removed first, for a node that has no room for two of it.
      - RV(replaced_trained) and a warning say whether a ready instance was taken away before the new one was ready.
    type: str
    choices: [rolling, recreate]
    default: rolling
  adopt:
    description: Whether a function that this module did not deploy may be replaced or removed.
    type: bool
    default: false
  ready_path:
    description:
      - "The function's path that answers 200 and C({\"ready\": true}) when it is ready."
      - Where the answer has an C(instance_id), an old instance is told from the new one by it. Without one, an update's
        ready answer may be the old instance's.
      - With an empty text it is not asked.
    type: str
    default: /ready
  deadline_seconds:
    description: How long everything together may take.
    type: float
    default: 1800
attributes:
  check_mode:
    description:
      - Reads and compares, and changes nothing.
      - Where no gateway answers, or O(password_file) is not there yet, what O(state) asks for is taken to be still to
        do.
    support: full
  diff_mode:
    description: Shows what the gateway reports beside what is asked for.
    support: full
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Deploy the function with two CPUs and 4 GiB
  openfaas_function:
    gateway_url: http://127.0.0.1:31112
    password_file: /var/lib/evenkeel/openfaas/password
    name: cifar-cnn
    image: 172.18.0.5:5000/cifar-cnn:3f1c9a
    secrets: [cifar-cnn-service]
    env:
      exec_timeout: 20m30s
      read_timeout: 21m
      write_timeout: 21m
      healthcheck_interval: 5s
    limits: {cpu: 2, memory: 4Gi}
    requests: {cpu: 250m, memory: 1Gi}
  register: deployed

- name: Say whether a trained instance was lost meanwhile
  ansible.builtin.debug:
    msg: "{{ deployed.action }}; for {{ deployed.gap_seconds }} s none was ready"
  when: deployed.replaced_trained is true

- name: Remove the function
  openfaas_function:
    state: absent
    gateway_url: http://127.0.0.1:31112
    password_file: /var/lib/evenkeel/openfaas/password
    name: cifar-cnn
    deadline_seconds: 120
"""

RETURN = r"""
function:
  description:
    - What the gateway says is deployed, unchanged; null where nothing is.
    - In check mode what is deployed before the change.
  returned: always
  type: dict
  sample:
    name: cifar-cnn
    namespace: openfaas-fn
    image: 172.18.0.5:5000/cifar-cnn:3f1c9a
    secrets: [cifar-cnn-service]
    limits: {cpu: "2", memory: 4Gi}
    replicas: 1
    availableReplicas: 1
action:
  description: What was done, one of V(none), V(created), V(updated), V(recreated) and V(removed).
  returned: always
  type: str
  sample: updated
differing:
  description: The fields in which what was deployed differed from what is asked for; all where nothing was deployed.
  returned: with O(state=present)
  type: list
  elements: str
  sample: [image, spec_sha256]
provider:
  description: The provider's name and version, and the gateway's version; null where no gateway answered in check mode.
  returned: always
  type: dict
  sample: {name: faas-netes-ce, version: 0.18.17, gateway_version: 0.27.14}
ready:
  description: True when the function said that it is ready; null where it was not asked.
  returned: with O(state=present)
  type: bool
instance_id:
  description: What the ready instance calls itself; null where it did not say or was not asked.
  returned: with O(state=present)
  type: str
  sample: 9f86d081884c7d65
waited_seconds:
  description: From the beginning of the change to the ready answer; null where it was not asked.
  returned: with O(state=present)
  type: float
replaced_trained:
  description:
    - Whether an instance that was ready was taken away before the new one was ready; null where that is not known,
      which is with an empty O(ready_path).
    - In check mode whether it may be, because one is ready now.
  returned: with O(state=present)
  type: bool
gap_seconds:
  description:
    - For how long no ready instance was seen, to about a second; null where a ready one was always seen, or none was
      there before.
  returned: with O(state=present)
  type: float
  sample: 34.2
log_tail:
  description: The function's last lines, by the gateway.
  returned: when the function did not become ready
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import openfaas

RESOURCES = {"cpu": {"type": "str"}, "memory": {"type": "str"}}


def read_password(options):
    """The gateway's password. Raises OpenFaasError where none or two are given, OSError where the file is not there."""
    if (options["password"] is None) == (options["password_file"] is None):
        raise openfaas.OpenFaasError("the gateway's password is needed once; give one of password and password_file")
    if options["password"] is not None:
        return options["password"]
    with open(options["password_file"], encoding="utf-8") as file:
        password = file.read().rstrip("\r\n")
    if not password or "\n" in password:
        raise openfaas.OpenFaasError(
            f"password_file: {options['password_file']} must hold the password as its only line; write it anew"
        )
    return password


def checked_plan(options):
    """How to reach the state. Raises OpenFaasError naming the option that cannot be used."""
    if not options["deadline_seconds"] > 0:
        raise openfaas.OpenFaasError(f"deadline_seconds must be above 0, got {options['deadline_seconds']:g}")
    if options["ready_path"] and not options["ready_path"].startswith("/"):
        raise openfaas.OpenFaasError(f"ready_path must begin with a slash or be empty, not {options['ready_path']!r}")
    return openfaas.Plan(**{name: options[name] for name in ("replace", "adopt", "ready_path", "deadline_seconds")})


def ensure(module, options):
    """Reach the state and return the module's result."""
    plan = checked_plan(options)
    present = options["state"] == "present"
    openfaas.checked_url(options["gateway_url"])
    spec = openfaas.checked_spec(options) if present else None
    try:
        password = read_password(options)
        module.no_log_values.add(password)
        gateway = openfaas.Gateway(options["gateway_url"], options["username"], password)
        if present:
            return openfaas.ensure_present(gateway, spec, plan, check_mode=module.check_mode)
        name = openfaas.checked_label("name", options["name"])
        namespace = openfaas.checked_label("namespace", options["namespace"])
        return openfaas.ensure_absent(gateway, name, namespace, plan, check_mode=module.check_mode)
    except (openfaas.Unanswered, FileNotFoundError) as error:
        if not module.check_mode:
            raise
        module.warn(f"Taken for not installed yet: {error}")
        return openfaas.expected_without_gateway(spec)


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "gateway_url": {"type": "str", "required": True},
            "username": {"type": "str", "default": "admin"},
            "password": {"type": "str", "no_log": True},
            "password_file": {"type": "path", "no_log": False},
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "default": "openfaas-fn"},
            "image": {"type": "str"},
            "env": {"type": "dict", "default": {}},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "labels": {"type": "dict", "default": {}},
            "annotations": {"type": "dict", "default": {}},
            "limits": {"type": "dict", "options": RESOURCES},
            "requests": {"type": "dict", "options": RESOURCES},
            "read_only_root_filesystem": {"type": "bool", "default": False},
            "replace": {"type": "str", "choices": ["rolling", "recreate"], "default": "rolling"},
            "adopt": {"type": "bool", "default": False},
            "ready_path": {"type": "str", "default": "/ready"},
            "deadline_seconds": {"type": "float", "default": 1800},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure(module, module.params)
    except openfaas.OpenFaasError as error:
        module.fail_json(msg=str(error), **error.details)
    except OSError as error:
        module.fail_json(
            msg=f"password_file: cannot read {module.params['password_file']}: {error.strerror}",
            operation="read the gateway's password",
            next_step="give the file in which the gateway's password is, readable by the user who runs the task",
        )
    if result.get("replaced_trained"):
        module.warn(replacement(result, module.params["name"], module.check_mode))
    module.exit_json(**result)


def replacement(result, name, check_mode):
    """What is to be said of a ready instance that was, or in check mode would be, taken away too early."""
    if check_mode:
        return f"Function {name} is ready now, and may not be from the change until its new instance is."
    return (
        f"Function {name} was {result['action']}: its ready instance was taken away before the new one was ready; for "
        f"{result['gap_seconds']:.1f} s none was."
    )


if __name__ == "__main__":
    main()
