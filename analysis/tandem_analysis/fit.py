"""Fits positive parameters to measured times: Levenberg-Marquardt on relative errors, in numpy.

The loss is Huber's: errors of more than 10 % count by their size and not by its square, so that a few odd
rows do not decide. Parameters are searched as logarithms, from several starts that are always the same: the
same rows give the same figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

HUBER = 0.1  # relative error from which a row counts by its size
SPREADS = (1.0, 0.5, 2.0, 0.2)  # starts: everything times this, and each half of the parameters
ITERATIONS = 200
STEP = 1e-6  # of the logarithm, for derivatives
DONE = 1e-10  # relative gain of the loss below which a search ends
DIGITS = 5  # of a figure that is written

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Parameter:
    """A figure to be found between two bounds; at the lower one it is 0 where it may be."""

    name: str
    start: float
    low: float
    high: float
    may_be_zero: bool = False


def fit(predict: Predict, measured: np.ndarray, parameters: list[Parameter]) -> dict[str, float]:
    """Figures, rounded, with which predict(figures in order) is nearest to the measured times."""
    low = np.log([parameter.low for parameter in parameters])
    high = np.log([parameter.high for parameter in parameters])

    def errors(point: np.ndarray) -> np.ndarray:
        return predict(np.exp(point)) / measured - 1

    found = min(
        (_search(errors, start, low, high) for start in _starts(parameters, low, high)),
        key=lambda pair: pair[0],
    )[1]
    return {
        parameter.name: _written(parameter, float(value))
        for parameter, value in zip(parameters, np.exp(found))
    }


def _starts(parameters: list[Parameter], low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    centre = np.log([parameter.start for parameter in parameters])
    odd = np.arange(len(parameters)) % 2 == 1
    shifts = [np.log(spread) * mask for spread in SPREADS for mask in (odd, ~odd, odd | ~odd)]
    return [np.clip(centre + shift, low, high) for shift in shifts]


def _loss(errors: np.ndarray) -> float:
    size = np.abs(errors)
    return float(np.sum(np.where(size <= HUBER, size**2 / 2, HUBER * (size - HUBER / 2))))


def _search(
    errors: Callable[[np.ndarray], np.ndarray], point: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[float, np.ndarray]:
    """The minimum that lies downhill from a point, and its loss. Rows are reweighted at every step."""
    now = errors(point)
    loss, damping = _loss(now), 1e-2
    for _ in range(ITERATIONS):
        weight = np.minimum(1, HUBER / np.maximum(np.abs(now), HUBER))
        slopes = _slopes(errors, point, now, high)
        gradient = slopes.T @ (weight * now)
        # Where a bound holds a figure back, the others are moved as if it were fixed.
        free = ~((point <= low) & (gradient > 0) | (point >= high) & (gradient < 0))
        if not free.any():
            break
        curvature = slopes[:, free].T @ (weight[:, None] * slopes[:, free])
        better = None
        while better is None and damping < 1e10:
            step = np.linalg.solve(
                curvature + damping * np.diag(np.diag(curvature) + 1e-9), gradient[free]
            )
            trial = point.copy()
            trial[free] -= np.clip(step, -1, 1)
            trial = np.clip(trial, low, high)
            trial_errors = errors(trial)
            if _loss(trial_errors) < loss:
                better = trial
                damping = max(damping / 5, 1e-12)
            else:
                damping *= 4
        if better is None:
            break
        gain, loss = loss - _loss(trial_errors), _loss(trial_errors)
        point, now = better, trial_errors
        if gain <= DONE * loss:
            break
    return loss, point


def _slopes(
    errors: Callable[[np.ndarray], np.ndarray],
    point: np.ndarray,
    now: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    columns = []
    for i in range(len(point)):
        step = STEP if point[i] + STEP <= high[i] else -STEP
        moved = point.copy()
        moved[i] += step
        columns.append((errors(moved) - now) / step)
    return np.stack(columns, axis=1)


def _written(parameter: Parameter, value: float) -> float:
    if parameter.may_be_zero and value <= parameter.low * 1.001:
        return 0
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() else short
