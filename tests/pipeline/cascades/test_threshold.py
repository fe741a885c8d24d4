"""Tests that the smallest sufficient threshold is chosen."""

import numpy as np

from edgecnn.pipeline.cascades.threshold import Choice, choose_threshold


def chosen(
    margins: list[float], differs: list[int], *, accurate: tuple[int, ...] = (), limit: float = 0.01, others: int = 1000
) -> Choice:
    """Choose from the margins, with the places of the images to which the fast and the accurate graph answer wrong."""
    places = np.arange(len(margins))
    return choose_threshold(
        np.array(margins, np.float32),
        np.isin(places, differs),
        np.isin(places, accurate),
        limit=limit,
        bounding=others,
    )


def rising(count: int) -> list[float]:
    return list(np.linspace(0.001, 10, count))


def test_no_image_runs_again_if_none_differs():
    assert chosen(rising(1000), []) == Choice(0.0, 1000, 0, 0)


def test_a_few_differing_answers_may_stay():
    found = chosen(rising(5000), list(range(0, 3000, 100)), limit=0.005, others=5000)
    assert 0 < found.differing < 30
    assert found.again == 100 * (29 - found.differing) + 1
    margins = np.array(rising(5000), np.float32)
    assert (margins < found.threshold).sum() == found.again


def test_all_differing_answers_run_again_if_the_images_are_few():
    found = chosen(rising(300), [3, 7], others=299)
    assert (found.again, found.differing) == (8, 0)


def test_errors_of_the_accurate_graph_count():
    found = chosen(rising(300), [3, 200], accurate=(3, 200), others=299)
    assert found.differing == 2
    assert found.again == 0  # running again would not help


def test_equal_margins_run_again_together():
    found = chosen([0.5] * 10 + [2.0] * 290, [4], others=299)
    assert found.again == 10
    assert 0.5 < found.threshold <= 2


def test_images_without_a_margin_run_again():
    found = chosen([float("nan"), *rising(299)], [0, 1], others=299)
    assert found.again == 2
    assert chosen([float("nan"), *rising(299)], [0], others=299).threshold == 0


def test_every_image_runs_again_if_the_surest_answer_differs():
    found = chosen(rising(300), [299], others=299)
    assert found.again == 300
    assert found.threshold > 10


def test_threshold_separates_neighbouring_float32_margins():
    low = np.float32(1)
    high = np.nextafter(low, np.float32(2))
    found = chosen([float(low), *[float(high)] * 299], [0], others=299)
    assert found.again == 1
    assert low < np.float32(found.threshold) <= high
