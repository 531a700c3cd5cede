"""What a network is judged by on images that it was not trained on, and how surely that is known.

All of it follows from the confusion: how many images of each class were taken for which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sessions.choices import ClassWeights, Metric
from ..sessions.records import LARGEST_MATRIX, Recalls

Counts = NDArray[np.int64]
Array = NDArray[np.float64]

HALF = 0.5
"""An image that is told right, and one that is not, which every class is given in the variance:
else a class whose few images are all told right would be known without a doubt."""

Z = 1.959963984540054
"""Standard deviations on either side that hold 95 % of a normal distribution."""


def wilson(right: int, images: int) -> tuple[float, float]:
    """The 95 % interval of the share that is told right, where `right` of `images` were.

    Wilson 1927; Brown, Cai, DasGupta 2001, eq. 4.  images: 1 or more.
    """
    share, by = right / images, Z**2 / images
    middle = (share + by / 2) / (1 + by)
    half = Z / (1 + by) * math.sqrt(share * (1 - share) / images + by / (4 * images))
    return max(0.0, middle - half), min(1.0, middle + half)


def suiting(metric: Metric) -> ClassWeights:
    """The weights of the loss that suit a metric, where nobody says otherwise."""
    return "none" if metric == "accuracy" else "balanced"


@dataclass(frozen=True)
class Confusion:
    """Images by true and predicted class, of the pairs that occur.

    classes: how many there are.  true, predicted, count: shape (pairs,), one entry a pair.
    """

    classes: int
    true: Counts
    predicted: Counts
    count: Counts

    @classmethod
    def of(cls, labels: Counts, predicted: Counts, classes: int) -> Confusion:
        """Of images with these labels that were taken for these classes; both of shape (n,)."""
        pairs, count = np.unique(labels * classes + predicted, return_counts=True)
        return cls(classes, pairs // classes, pairs % classes, count.astype(np.int64))

    @classmethod
    def of_matrix(cls, rows: Sequence[Sequence[int]]) -> Confusion:
        """Of a square matrix of counts, rows the true classes."""
        whole = np.array(rows, dtype=np.int64)
        true, predicted = np.nonzero(whole)
        return cls(len(whole), true, predicted, whole[true, predicted])

    def rows(self) -> list[list[int]]:
        """The matrix, rows the true classes; none above `LARGEST_MATRIX` classes."""
        if self.classes > LARGEST_MATRIX:
            return []
        whole = np.zeros((self.classes, self.classes), dtype=np.int64)
        whole[self.true, self.predicted] = self.count
        rows: list[list[int]] = whole.tolist()
        return rows

    @property
    def images(self) -> Counts:
        """Images of each class, shape (classes,)."""
        return self._sum(self.true, self.count)

    @property
    def right(self) -> Counts:
        """Images of each class that were told right, shape (classes,)."""
        told = self.true == self.predicted
        return self._sum(self.true[told], self.count[told])

    def _sum(self, classes: Counts, count: Counts) -> Counts:
        summed = np.zeros(self.classes, dtype=np.int64)
        np.add.at(summed, classes, count)
        return summed

    @property
    def accuracy(self) -> float:
        """The share of all images that was told right."""
        return int(self.right.sum()) / int(self.count.sum())

    def recalls(self) -> Recalls:
        """Of each class the share of its images that was told right; None: it has none."""
        pairs = zip(self.right.tolist(), self.images.tolist(), strict=True)
        return tuple(right / images if images else None for right, images in pairs)

    def score(self, metric: Metric) -> float:
        """The metric, 1 the best.  A class without images does not count."""
        if metric == "accuracy":
            return self.accuracy
        images, right = self.images, self.right
        there = images > 0
        if metric == "balanced":
            return float(np.mean(right[there] / images[there]))
        taken = self._sum(self.predicted, self.count)
        # F1, the harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)
        return float(np.mean(2 * right[there] / (images + taken)[there]))

    def effective_images(self, metric: Metric) -> float | None:
        """So many images tell an accuracy as surely as these tell the metric; None: all of them.

        n with e (1 - e) / n = variance, where e is 1 - metric, smoothed, and so above 0 with all
        images told right.  The variance is that of many validation sets with as many images of each
        class: every class a multinomial of its own (docs/design.md).
        """
        if metric == "accuracy":
            return None
        error, variance = self._balanced() if metric == "balanced" else self._macro_f1()
        return error * (1 - error) / variance

    def _balanced(self) -> tuple[float, float]:
        """1 - balanced accuracy, smoothed, and its variance: (1 / C²) Σ r (1 - r) / n."""
        there = self.images > 0
        images = self.images[there].astype(float)
        recalls = (self.right[there] + HALF) / (images + 2 * HALF)
        variances = recalls * (1 - recalls) / images
        return 1 - float(recalls.mean()), float(variances.sum()) / len(images) ** 2

    def _macro_f1(self) -> tuple[float, float]:
        """1 - macro-F1, smoothed, and its variance by the delta method.

        With M images of class j taken for k, n_j of class j, F_k = 2 M_kk / D_k and D_k = n_k +
        Σ_j M_jk, the mean of F has the derivatives a_k = (2 - F_k) / (C D_k) by M_kk and -b_k =
        -F_k / (C D_k) by any other M_jk.  Of a multinomial of n_j images the variance of Σ_k g_k
        M_jk is Σ_k M_jk g_k² - (Σ_k M_jk g_k)² / n_j.
        """
        images = self.images.astype(float)
        there = images > 0
        classes = int(there.sum())
        kept = images / (images + 2 * HALF)  # what smoothing leaves of a row; 0 of an empty one
        right = kept * (self.right + HALF)
        wrong = self.true != self.predicted
        true, predicted = self.true[wrong], self.predicted[wrong]
        count = kept[true] * self.count[wrong]
        spread = HALF / (self.classes - 1)  # what each of the other classes is given of a row
        taken = np.bincount(predicted, count, self.classes) + spread * (kept.sum() - kept)
        total = images + right + taken
        f1 = np.where(there, 2 * right / total, 0.0)
        gain = np.where(there, (2 - f1) / (classes * total), 0.0)
        loss = f1 / (classes * total)
        # of no mistakes NumPy counts in whole numbers
        lost = np.bincount(true, count * loss[predicted], self.classes).astype(float)
        lost += kept * spread * (loss.sum() - loss)
        of_rows = (right * gain - lost)[there]
        variance = float((right * gain**2 + taken * loss**2).sum())
        variance -= float((of_rows**2 / images[there]).sum())
        return 1 - float(f1[there].mean()), variance
