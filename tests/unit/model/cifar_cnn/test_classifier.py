# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from cifar_cnn.classifier import Classifier
from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.errors import SelfTestError
from cifar_cnn.images import encode_png
from cifar_cnn.network import CifarCnn


@pytest.fixture
def network() -> CifarCnn:
    torch.manual_seed(1)
    return CifarCnn(4, 0.5)


def test_predictions_agree_with_the_evaluation(network: CifarCnn, arrays: ImageArrays) -> None:
    classifier = Classifier(network, "reference", arrays)
    evaluation = classifier.evaluate(lambda: None)
    predictions = [classifier.predict(classifier.decode(encode_png(image))) for image in arrays.test_images]
    correct = sum(int(p.index == truth) for p, truth in zip(predictions, arrays.test_labels, strict=True))
    assert (evaluation.correct, evaluation.total) == (correct, len(arrays.test_labels))
    assert all(1 / 4 <= p.probability <= 1 for p in predictions)


def test_dropout_is_off(network: CifarCnn, arrays: ImageArrays) -> None:
    classifier = Classifier(network, "reference", arrays)
    image = arrays.test_images[0]
    assert len({classifier.predict(image).probability for _ in range(5)}) == 1


def test_it_reports_pytorchs_threads(network: CifarCnn, arrays: ImageArrays) -> None:
    assert Classifier(network, "reference", arrays).compute_threads == torch.get_num_threads() == 1


def test_the_self_test_passes_a_sound_model(network: CifarCnn, arrays: ImageArrays) -> None:
    assert Classifier(network, "reference", arrays).self_test() is None


def test_the_self_test_refuses_weights_that_are_no_numbers(network: CifarCnn, arrays: ImageArrays) -> None:
    with torch.no_grad():
        network.features[0].bias[0] = float("nan")
    with pytest.raises(SelfTestError, match="not 40 x 4 finite numbers"):
        Classifier(network, "reference", arrays).self_test()


def test_the_self_test_refuses_a_prediction_that_differs(
    network: CifarCnn, arrays: ImageArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier(network, "reference", arrays)
    with torch.no_grad():
        network.classifier.weight *= 100
    monkeypatch.setattr(classifier, "decode", lambda data: np.zeros((32, 32, 3), dtype=np.uint8))
    with pytest.raises(SelfTestError, match="differs from its evaluation"):
        classifier.self_test()
