# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""From the files of a run to a verdict and its reports. Runs on the controller; knows nothing of Ansible."""
