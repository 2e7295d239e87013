# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

"""Parsers, argv builders, clocks and runners shared by the modules and the analysis; standard library only."""
