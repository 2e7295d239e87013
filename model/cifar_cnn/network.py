# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The study's network; it knows nothing of data, training or engines."""

from torch import Tensor, nn

from cifar_cnn.geometry import IMAGE_SIZE


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding="same")


class CifarCnn(nn.Module):
    """conv(32) ReLU dropout conv(32) maxpool, conv(64) ReLU dropout conv(64) maxpool, fully connected.

    All convolutions are 3x3 with an output of the input's size. With 10 classes it has 106,538 parameters.
    The source is Yeung and Zi Di, "Deployment and Optimization of Machine Learning Models in a Serverless
    Architecture".

    Input: float32, (n, 3, 32, 32). Output: unnormalised class scores, (n, classes).
    """

    def __init__(self, classes: int, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _convolution(3, 32),
            nn.ReLU(),
            nn.Dropout(dropout),
            _convolution(32, 32),
            nn.MaxPool2d(2),
            _convolution(32, 64),
            nn.ReLU(),
            nn.Dropout(dropout),
            _convolution(64, 64),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(64 * (IMAGE_SIZE // 4) ** 2, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        scores: Tensor = self.classifier(self.features(inputs).flatten(1))
        return scores
