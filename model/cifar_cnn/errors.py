# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, one class per cause.

ModelError
├── SettingsError         service.json is missing, unreadable or holds a wrong value
├── DatasetError          a data set cannot be prepared or its prepared arrays cannot be used
├── TrainingError         the training did not lead to usable weights
├── CheckpointError       a saved model is missing, damaged or belongs to other settings
├── SelfTestError         the finished model does not agree with its own data
├── StoppedError          the process is ending, so the work is given up
├── QueueFullError        as many requests as queue_limit allows are already inside
└── ImageError            the bytes sent are not an image that can be classified
    ├── EmptyImageError       there are no bytes
    ├── DamagedImageError     a PNG or JPEG that is truncated or broken
    ├── NotAnImageError       neither PNG nor JPEG
    └── ImageTooLargeError    too many bytes or pixels
"""


class ModelError(Exception):
    """The base of every error this package raises on purpose; its text is one line made for the user."""


class SettingsError(ModelError):
    """service.json is missing, unreadable or holds a wrong value."""


class DatasetError(ModelError):
    """A data set cannot be prepared, or its prepared arrays cannot be used."""


class TrainingError(ModelError):
    """The training did not lead to usable weights."""


class CheckpointError(ModelError):
    """A saved model is missing, damaged or belongs to other settings."""


class SelfTestError(ModelError):
    """The finished model does not agree with its own data."""


class StoppedError(ModelError):
    """The process is ending, so the work is given up."""


class QueueFullError(ModelError):
    """As many requests as queue_limit allows are already inside."""


class ImageError(ModelError):
    """The bytes sent are not an image that can be classified."""


class EmptyImageError(ImageError):
    """There are no bytes."""


class DamagedImageError(ImageError):
    """A PNG or JPEG that is truncated or broken."""


class NotAnImageError(ImageError):
    """Neither PNG nor JPEG."""


class ImageTooLargeError(ImageError):
    """Too many bytes or pixels."""
