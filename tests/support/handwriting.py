"""Handwritten digits: lines of points (x, y), 0 to 1 from the upper left corner of the paper."""

import math

Line = list[tuple[float, float]]


def _arc(x: float, y: float, width: float, height: float, begin: int, end: int) -> Line:
    """Return points on an ellipse around (x, y); angles in degrees, clockwise from three o'clock."""
    angles = [math.radians(begin + (end - begin) * step / 12) for step in range(13)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


DIGITS: dict[int, list[Line]] = {
    0: [_arc(0.5, 0.5, 0.2, 0.3, -90, 270)],
    1: [[(0.38, 0.3), (0.52, 0.2), (0.52, 0.8)]],
    2: [[*_arc(0.5, 0.36, 0.17, 0.16, 190, 380), (0.33, 0.8), (0.7, 0.8)]],
    3: [_arc(0.48, 0.35, 0.17, 0.15, 200, 450) + _arc(0.48, 0.65, 0.19, 0.16, -90, 150)],
    4: [[(0.55, 0.2), (0.32, 0.6), (0.72, 0.6)], [(0.58, 0.4), (0.58, 0.82)]],
    5: [[(0.38, 0.2), (0.36, 0.46), *_arc(0.48, 0.61, 0.18, 0.18, 230, 500)], [(0.38, 0.2), (0.68, 0.2)]],
    6: [_arc(0.62, 0.5, 0.26, 0.32, -85, -180) + _arc(0.5, 0.64, 0.15, 0.16, 180, 540)],
    7: [[(0.32, 0.22), (0.68, 0.22), (0.44, 0.8)]],
    8: [_arc(0.5, 0.35, 0.14, 0.14, 90, -270) + _arc(0.5, 0.65, 0.17, 0.16, -90, 270)],
    9: [[*_arc(0.5, 0.36, 0.15, 0.16, 20, 380), (0.64, 0.4), (0.6, 0.82)]],
}


def smaller(digit: int, *, factor: float, x: float, y: float) -> list[Line]:
    """Return a smaller digit, with the corner of its paper at (x, y)."""
    return [[(x + factor * across, y + factor * down) for across, down in line] for line in DIGITS[digit]]
