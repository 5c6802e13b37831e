"""Which lines of a figure look alike to those who see colours as most colour-blind people do.

A colour is turned into what an eye without one kind of cone makes of it (Machado, Oliveira and Fernandes,
A physiologically-based model for simulation of color vision deficiency, 2009, the published matrices for
severity 1.0, on linear RGB), then into CIE 1976 L*a*b* (D65), where a distance of about 2 can just be
seen side by side. Thin lines that are some way apart need far more: `ENOUGH`. Two lines that mean
different things have to be that far apart, or be drawn with another stroke or marker.
"""

from itertools import combinations

import numpy as np
from matplotlib.colors import to_rgba

ENOUGH = 20.0  # in L*a*b*: ten times what can just be seen
MATRICES = {
    "no deficiency": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(  # linear sRGB to XYZ, divided by D65's white
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
) / np.array([[0.95047], [1.0], [1.08883]])


def seen(colour, deficiency: str) -> np.ndarray:
    """L*a*b* (3,) of a colour of matplotlib, as it is seen; its alpha lets white through.

    >>> [abs(round(x)) for x in seen("white", "no deficiency").tolist()]
    [100, 0, 0]
    """
    *rgb, alpha = to_rgba(colour)
    rgb = np.array(rgb) * alpha + 1 - alpha
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x = TO_XYZ @ np.clip(np.array(MATRICES[deficiency]) @ linear, 0, 1)
    f = np.where(x > 216 / 24389, np.cbrt(x), (24389 / 27 * x + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(one, two, deficiency: str) -> float:
    """The distance of two colours as they are seen.

    >>> round(apart("#d55e00", "#009e73", "no deficiency")), round(apart("red", "red", "tritanopia"))
    (102, 0)
    """
    return float(np.linalg.norm(seen(one, deficiency) - seen(two, deficiency)))


def stroke(style) -> str:
    """A line style in words: dotted is dotted, however wide its gaps are.

    >>> stroke("--"), stroke((0, (1, 2))), stroke((0, (6, 1, 1, 1)))
    ('dashed', 'dotted', 'dashes and 1 dots')
    """
    named = {"-": "solid", "--": "dashed", ":": "dotted", "-.": "dashes and 1 dots"}
    if isinstance(style, str):
        return named.get(style, "none")
    on = style[1][::2]
    if len(on) == 1:
        return "dotted" if on[0] <= 1.5 else "dashed"
    return f"dashes and {len(on) - 1} dots"


def told_apart(one, two) -> bool:
    """Can two (colour, line style) be told apart by everyone?"""
    if stroke(one[1]) != stroke(two[1]):
        return True
    return min(apart(one[0], two[0], kind) for kind in MATRICES) >= ENOUGH


def alike(axes) -> list[str]:
    """The pairs of lines in one panel that mean different things and look alike; best: none.

    Lines that mean different things have another label or another colour. Left out are pale lines, behind
    a strong one of the same colour, and single points, which have their name beside them.
    """
    drawn = {}
    for line in axes.lines:
        label = line.get_label()
        style = (
            line._unscaled_dash_pattern
        )  # what get_linestyle() forgets of a pattern of one's own
        marked = (line.get_marker(), line.get_linestyle() if style[1] is None else style)
        colour = to_rgba(line.get_color(), line.get_alpha())
        if colour[3] >= 0.5 and len(line.get_xdata()) > 1:
            drawn[(colour, marked, "" if label.startswith("_") else label)] = (colour, *marked)
    pairs = []
    for one, two in combinations(drawn, 2):
        (c1, m1, s1), (c2, m2, s2) = drawn[one], drawn[two]
        differ = c1[:3] != c2[:3] or (one[2] and two[2] and one[2] != two[2])
        if differ and m1 == m2 and not told_apart((c1, s1), (c2, s2)):
            pairs.append(f"{one[2] or one[0]} and {two[2] or two[0]} in {axes.get_title()!r}")
    return pairs


def look_at_what_is_shown() -> list[str]:
    """From now on plt.show() notes, in the list that comes back, what looks alike."""
    import matplotlib.pyplot as plt

    found, show = [], plt.show

    def look_and_show(*args, **options):
        for number in plt.get_fignums():
            found.extend(pair for axes in plt.figure(number).axes for pair in alike(axes))
        return show(*args, **options)

    plt.show = look_and_show
    return found
