# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A finished model together with its test set: what a service evaluates and predicts with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from cifar_cnn import checkpoint
from cifar_cnn.engines import load_engine
from cifar_cnn.errors import SelfTestError
from cifar_cnn.evaluation import BATCH_SIZE, Evaluation, evaluate
from cifar_cnn.images import Pixels, decode_image, encode_png
from cifar_cnn.prediction import Prediction, predict

if TYPE_CHECKING:
    from cifar_cnn.datasets.arrays import ImageArrays
    from cifar_cnn.network import CifarCnn

_ROUNDING = 1e-3


class Classifier:
    """`labels` are the names of the classes, `model_sha256` the checksum of the weights.

    `compute_threads` is what PyTorch itself reports in the thread that makes the classifier and must use it.
    """

    def __init__(self, network: CifarCnn, engine: str, arrays: ImageArrays) -> None:
        self.labels = arrays.classes
        self.model_sha256 = checkpoint.model_sha256(network)
        self.compute_threads = torch.get_num_threads()
        self._forward = load_engine(engine).inference_forward(network)
        self._images = torch.from_numpy(arrays.test_images)
        self._truth = torch.from_numpy(arrays.test_labels)

    def evaluate(self, between_batches: Callable[[], None]) -> Evaluation:
        """Classifies the whole test set; `between_batches` is called between its batches."""
        return evaluate(self._forward, self._images, self._truth, between_batches)

    def decode(self, data: bytes) -> Pixels:
        """Reads a PNG or JPEG file. Raises a subclass of ImageError. Any thread may do this."""
        return decode_image(data)

    def predict(self, pixels: Pixels) -> Prediction:
        """Classifies one image."""
        return predict(self._forward, pixels)

    def self_test(self) -> None:
        """Evaluates one batch and predicts one image, the way requests do, and compares the two.

        This also pays for what PyTorch does only the first time. Raises SelfTestError.
        """
        scores = self._forward(self._images[:BATCH_SIZE])
        expected = (min(BATCH_SIZE, len(self._images)), len(self.labels))
        if tuple(scores.shape) != expected or not bool(scores.isfinite().all()):
            raise SelfTestError(f"the scores of a test batch are not {expected[0]} x {expected[1]} finite numbers")
        evaluate(self._forward, self._images[:BATCH_SIZE], self._truth[:BATCH_SIZE], lambda: None)
        prediction = self.predict(self.decode(encode_png(self._images[0].numpy())))
        probabilities = scores[0].softmax(dim=0)
        # Batches of different sizes may round differently in the last digits, and then two classes may change places.
        differs = (float(p) for p in (probabilities[prediction.index], probabilities.max()))
        if any(abs(p - prediction.probability) > _ROUNDING for p in differs):
            raise SelfTestError("the prediction of a test image differs from its evaluation in a batch")
