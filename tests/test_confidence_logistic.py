"""The weights of numbers that tell how likely something is."""

from __future__ import annotations

import numpy as np

from shoplens.confidence.logistic import fit_logistic, sigmoid


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_a_constant_alone_finds_the_share() -> None:
    truth = np.array([1.0, 0.0, 0.0, 0.0])
    found = fit_logistic(
        np.ones((4, 1)), truth, np.ones(4), penalty=np.array([1e-9]), around=np.zeros(1)
    )
    assert np.isclose(sigmoid(found)[0], 0.25)


def test_the_weights_that_made_the_data_are_found_again() -> None:
    generator = np.random.default_rng(0)
    columns = np.column_stack([generator.normal(size=(20_000, 2)), np.ones(20_000)])
    made = np.array([1.5, -0.7, 0.3])
    truth = (generator.random(20_000) < sigmoid(columns @ made)).astype(np.float64)
    found = fit_logistic(
        columns, truth, np.ones(20_000), penalty=np.full(3, 1e-6), around=np.zeros(3)
    )
    np.testing.assert_allclose(found, made, atol=0.08)


def test_a_weight_counts_as_so_many_rows() -> None:
    columns = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [0.0, 1.0]])
    truth = np.array([0.0, 1.0, 1.0, 1.0])
    penalty, around = np.array([0.1, 0.1]), np.array([1.0, 0.0])
    weighted = fit_logistic(
        columns, truth, np.array([1.0, 2.0, 1.0, 0.0]), penalty=penalty, around=around
    )
    rows = [0, 1, 1, 2]
    repeated = fit_logistic(columns[rows], truth[rows], np.ones(4), penalty=penalty, around=around)
    np.testing.assert_allclose(weighted, repeated, atol=1e-9)


def test_separable_data_have_an_answer() -> None:
    columns, truth = np.array([[-1.0, 1.0], [1.0, 1.0]]), np.array([0.0, 1.0])
    found = fit_logistic(columns, truth, np.ones(2), penalty=np.full(2, 0.01), around=np.zeros(2))
    assert np.isfinite(found).all()
    assert found[0] > 1
