# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The image classifier that both arms serve: network, data sets, training and the HTTP answers.

Importing this package, or `cifar_cnn.answers`, loads neither PyTorch nor NumPy: a service must answer its port
before those seconds-long imports are over.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
