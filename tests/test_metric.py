"""Metrics from a confusion, and how surely they are known: against closed forms and simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from lcsearch.engine.metric import Confusion, suiting
from lcsearch.sessions.choices import METRICS, Metric
from lcsearch.sessions.records import LARGEST_MATRIX, matrix
from lcsearch.sessions.store import Store

from .conftest import lcsearch

OTHERS: tuple[Metric, ...] = ("balanced", "macro-f1")
matrices = st.integers(2, 6).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(0, 60), min_size=n, max_size=n).filter(any), min_size=n, max_size=n
    )
)


def told(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions that have this confusion."""
    pairs = [(i, j) for i, row in enumerate(rows) for j, n in enumerate(row) for _ in range(n)]
    labels, predicted = np.array(pairs, dtype=np.int64).T
    return labels, predicted


@given(matrices)
def test_metrics_are_those_of_scikit_learn(rows: list[list[int]]) -> None:
    labels, predicted = told(rows)
    found = Confusion.of(labels, predicted, len(rows))
    assert found.rows() == rows
    assert found.score("accuracy") == found.accuracy == (labels == predicted).mean()
    assert found.score("balanced") == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found.score("macro-f1") == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found.recalls() == tuple(row[i] / sum(row) for i, row in enumerate(rows))
    again = Confusion.of_matrix(rows)
    for metric in METRICS:
        assert again.score(metric) == found.score(metric)
        assert again.effective_images(metric) == found.effective_images(metric)


@given(matrices)
def test_every_metric_is_known_with_some_doubt(rows: list[list[int]]) -> None:
    for metric in OTHERS:
        images = Confusion.of_matrix(rows).effective_images(metric)
        assert images is not None
        assert 0 < images < np.inf


@pytest.mark.parametrize("images", [9, 18, 504])
@pytest.mark.parametrize("classes", [2, 10])
def test_where_all_classes_are_alike_all_images_count(classes: int, images: int) -> None:
    """Also where all are told right: the variance is that of half an image told wrong."""
    for right in (images, images - 9):
        wrong = (images - right) // (classes - 1)
        rows = np.full((classes, classes), wrong)
        np.fill_diagonal(rows, right)
        found = Confusion.of_matrix(rows.tolist())
        expected = classes * (right + wrong * (classes - 1))
        assert found.effective_images("balanced") == pytest.approx(expected)
    assert Confusion.of_matrix(rows.tolist()).effective_images("accuracy") is None


@pytest.mark.parametrize("metric", OTHERS)
def test_the_variance_is_that_of_many_validation_sets(metric: Metric) -> None:
    rng = np.random.default_rng(3)
    images = np.array([1000, 400, 150, 60])
    shares = np.array(
        [[0.9, 0.05, 0.03, 0.02], [0.1, 0.8, 0.1, 0.0], [0.2, 0.1, 0.6, 0.1], [0.3, 0.1, 0.1, 0.5]]
    )

    def drawn() -> Confusion:
        rows = [rng.multinomial(n, p).tolist() for n, p in zip(images, shares, strict=True)]
        return Confusion.of_matrix(rows)

    found = [drawn() for _ in range(2000)]
    errors = np.array([1 - one.score(metric) for one in found])
    counted = np.array([one.effective_images(metric) for one in found], dtype=float)
    claimed = np.mean(errors * (1 - errors) / counted)
    assert claimed == pytest.approx(errors.var(), rel=0.1)
    # and far from what all images would give a share
    assert errors.mean() * (1 - errors.mean()) / images.sum() < 0.6 * errors.var()


def test_a_rare_class_that_is_told_right_is_not_known_without_doubt() -> None:
    found = Confusion.of_matrix([[950, 50], [0, 2]])
    balanced = found.effective_images("balanced")
    assert balanced is not None
    assert balanced < 20  # two images say little, and are half of it


def test_a_class_without_images_does_not_count() -> None:
    whole, gap = [[8, 2], [3, 7]], [[8, 2, 0], [3, 7, 0], [0, 0, 0]]
    for metric in METRICS:
        with_gap = Confusion.of_matrix(gap).score(metric)
        assert with_gap == Confusion.of_matrix(whole).score(metric)
    found = Confusion(3, *(np.array(of) for of in ([0, 0, 1], [0, 1, 2], [8, 2, 10])))
    assert found.recalls() == (0.8, 0.0, None)
    assert found.score("macro-f1") == pytest.approx((2 * 8 / 18 + 0) / 2)
    for metric in OTHERS:
        images = found.effective_images(metric)
        assert images is not None
        assert images > 0


def test_very_many_classes_take_no_matrix() -> None:
    labels = np.arange(50_000) % 20_000
    found = Confusion.of(labels, np.roll(labels, 1), 20_000)
    assert found.rows() == []
    assert found.effective_images("macro-f1") is not None
    assert len(Confusion.of(labels % 100, labels % 100, LARGEST_MATRIX).rows()) == LARGEST_MATRIX


def test_other_metrics_come_with_class_weights() -> None:
    assert [suiting(metric) for metric in METRICS] == ["none", "balanced", "balanced"]


@pytest.mark.parametrize("kept", [b"x", b"x\x9c", b"\x78\x9c\x03\x00\x00\x00\x00\x01"])
def test_what_is_no_packed_matrix_is_refused(kept: bytes) -> None:
    with pytest.raises(ValueError, match="square matrix"):
        matrix(kept)


def test_new_fixes_the_metric_and_the_weights_that_suit_it(home: Path) -> None:
    def made(name: str, *words: str) -> tuple[str, str]:
        lcsearch("new", name, "--train-size", "200", *words)
        store = Store(home / "sessions" / name)
        session = store.refresh().session
        store.close()
        return session.metric, session.class_weights

    assert made("a") == ("accuracy", "none")
    assert made("b", "--metric", "balanced") == ("balanced", "balanced")
    assert made("c", "--metric", "macro-f1", "--class-weights", "none") == ("macro-f1", "none")
    assert made("d", "--class-weights", "balanced") == ("accuracy", "balanced")
    lcsearch("new", "e", "--metric", "f1", code=2)
    for option in ("--metric", "--class-weights"):
        lcsearch("set", "b", option, "accuracy", code=2)


@pytest.mark.parametrize("metric", ["balanced", "macro-f1"])
@pytest.mark.parametrize("rows", [[[5, 0], [0, 5]], [[1, 0, 0], [0, 40, 0], [0, 0, 7]]])
def test_a_network_without_mistakes_is_not_known_without_a_doubt(
    metric: Metric, rows: list[list[int]]
) -> None:
    confusion = Confusion.of_matrix(rows)
    assert confusion.score(metric) == 1
    images = confusion.effective_images(metric)
    assert images is not None
    assert 0 < images < np.inf
