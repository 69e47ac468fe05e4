"""The faces of the generated corpus: a cartoon head before a wall, with the look and motion of an emotion.

A face shows the emotion of its utterance if the plan says that "video" shows it; otherwise it is neutral. Every head
talks, nods a little and blinks. Skin and hair depend on the speaker, wall and shirt on the dialogue.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import astuple, dataclass

import cv2
import numpy as np

from mer.data.sample.plan import PlannedUtterance, generator, pick

FPS = 12
WIDTH, HEIGHT = 160, 120
_SHIFT = 4  # bits: OpenCV's coordinates are integers, in 16ths of a pixel


@dataclass(frozen=True, slots=True)
class Look:
    """Look of an emotion: parts of the face from -1 to 1 or as factors, motion in pixels."""

    smile: float  # corners of the mouth up (1) or down (-1)
    mouth_open: float
    mouth_wide: float  # factor
    sneer: float  # one side of the mouth raised
    brow: float  # up (1) or down (-1)
    frown: float  # inner ends of the brows down (1) or up (-1)
    eyes: float  # factor of their opening
    shake: float  # sideways
    nod: float  # up and down
    hertz: float  # of both
    sink: float  # how far the head moves down over the clip; negative: up


LOOKS = {
    "neutral": Look(0.05, 0.2, 1.0, 0.0, 0.0, 0.0, 1.0, 0.7, 0.7, 0.6, 0.0),
    "joy": Look(1.1, 0.55, 1.3, 0.0, 0.3, -0.1, 0.65, 0.5, 3.5, 2.0, 0.0),
    "sadness": Look(-0.9, 0.1, 0.85, 0.0, 0.25, -1.0, 0.55, 0.3, 0.5, 0.4, 8.0),
    "anger": Look(-0.5, 0.5, 1.15, 0.0, -0.9, 1.1, 0.85, 4.0, 0.8, 2.6, 0.0),
    "fear": Look(-0.35, 0.5, 1.2, 0.0, 0.9, -0.8, 1.5, 1.6, 1.2, 5.2, 0.0),
    "disgust": Look(-0.7, 0.15, 0.9, 1.0, -0.5, 0.4, 0.45, 2.5, 0.4, 0.5, -2.0),
    "surprise": Look(0.0, 1.3, 0.65, 0.0, 1.3, -0.1, 1.55, 0.4, 1.0, 0.8, -7.0),
}
_SPREAD = Look(0.12, 0.08, 0.06, 0.1, 0.12, 0.12, 0.08, 0.2, 0.2, 0.1, 0.8)  # how much clips of one emotion differ

_SKINS = ((198, 220, 250), (175, 205, 240), (150, 185, 230), (125, 160, 215), (100, 140, 195), (85, 120, 170))  # BGR
_HAIRS = ((30, 30, 35), (40, 60, 95), (70, 120, 180), (120, 190, 225), (40, 50, 140), (170, 170, 170))
_WALLS = ((190, 170, 150), (150, 185, 160), (160, 165, 200), (200, 200, 190), (120, 130, 140), (150, 200, 215))
_SHIRTS = ((140, 80, 50), (60, 120, 60), (60, 60, 150), (90, 90, 90), (150, 90, 130), (50, 130, 170))
_INK = (35, 35, 45)
Colour = tuple[int, int, int]


def frames(utterance: PlannedUtterance, seed: int) -> Iterator[np.ndarray]:
    """Draw the pictures: uint8 (120, 160, 3), BGR, 12 per second of the plan, at least one."""
    where = utterance.split, utterance.dialogue
    rng = generator(seed, *where, f"face {utterance.number}")
    look = _look(utterance.emotion if "video" in utterance.shows else "neutral", rng)
    wall, painter = _wall(generator(seed, *where, "place")), _Painter.of(utterance, seed, rng)
    seconds, phase, talk = utterance.end_s - utterance.start_s, rng.random(), 3.0 + 1.5 * rng.random()
    blink = rng.random() * seconds
    for index in range(max(1, round(seconds * FPS))):
        time = index / FPS
        beat = 2 * math.pi * (look.hertz * time + phase)
        dx, dy = look.shake * math.sin(beat), look.nod * math.cos(beat) + look.sink * (time / seconds - 0.3)
        talking = 0.5 + 0.5 * math.sin(2 * math.pi * (talk * time + phase))
        closed = 0.15 if 0 <= time - blink < 0.15 else 1.0
        yield painter.paint(wall.copy(), look, round(dx), round(dy), talking, closed)  # whole pixels compress well


def _look(emotion: str, rng: random.Random) -> Look:
    """Vary the emotion's look: random strength, and a small random change of each part."""
    strength = 0.8 + 0.3 * rng.random()
    parts = zip(astuple(LOOKS["neutral"]), astuple(LOOKS[emotion]), astuple(_SPREAD), strict=True)
    return Look(*(calm + strength * (full - calm) + spread * (2 * rng.random() - 1) for calm, full, spread in parts))


def _wall(rng: random.Random) -> np.ndarray:
    """Draw a wall, a darker band below it, and a rectangle somewhere."""
    colour = pick(rng, _WALLS)
    image = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
    image[HEIGHT - 25 - int(15 * rng.random()) :] = tuple(value * 5 // 6 for value in colour)
    left, top = pick(rng, (4, 118)), 6 + int(25 * rng.random())
    cv2.rectangle(image, (left, top), (left + 22 + int(14 * rng.random()), top + 30), pick(rng, _SHIRTS), -1)
    return image


@dataclass(frozen=True, slots=True)
class _Painter:
    """A head at its place in the picture. Coordinates: pixels from the middle of the face, y downwards."""

    skin: Colour
    hair: Colour
    shirt: Colour
    x: float
    y: float
    scale: float

    @staticmethod
    def of(utterance: PlannedUtterance, seed: int, rng: random.Random) -> _Painter:
        speaker = random.Random(f"mer-sample/{seed}/speaker/{utterance.speaker}/face")
        shirt = generator(seed, utterance.split, utterance.dialogue, f"shirt {utterance.speaker}")
        x, y = WIDTH / 2 + 2 * (2 * rng.random() - 1), HEIGHT / 2 + 1.5 * (2 * rng.random() - 1)
        scale = 0.97 + 0.06 * rng.random()
        return _Painter(pick(speaker, _SKINS), pick(speaker, _HAIRS), pick(shirt, _SHIRTS), x, y, scale)

    def paint(
        self, image: np.ndarray, look: Look, dx: float, dy: float, talking: float, eyes_open: float
    ) -> np.ndarray:
        """Draw onto `image` and return it. `talking`: 0 to 1, how far speech opens the mouth in this picture."""
        self._ellipse(image, self.shirt, (0, 78), (58, 36))  # shoulders stay where they are
        head = _Painter(self.skin, self.hair, self.shirt, self.x + dx, self.y + dy, self.scale)
        head._ellipse(image, head.hair, (0, -8), (44, 50))
        head._ellipse(image, head.skin, (0, 4), (38, 47))
        for side in (-1, 1):
            head._eye(image, side, look, eyes_open)
        head._line(image, [(0, -4), (-4, 12), (2, 13)], 1)
        head._mouth(image, look, talking)
        return image

    def _eye(self, image: np.ndarray, side: int, look: Look, eyes_open: float) -> None:
        self._ellipse(image, (245, 245, 245), (side * 16, -8), (9.5, max(1.0, 7.0 * look.eyes * eyes_open)))
        self._ellipse(image, _INK, (side * 16, -8), (3.4, max(1.0, min(3.6, 6.0 * look.eyes * eyes_open))))
        inner, outer = -22 - 6 * look.brow + 6 * look.frown, -22 - 6 * look.brow - 5 * look.frown
        self._line(image, [(side * 6, inner), (side * 27, outer)], 4)

    def _mouth(self, image: np.ndarray, look: Look, talking: float) -> None:
        across = np.linspace(-1.0, 1.0, 13)
        arch = 1 - across**2  # 0 at the corners, 1 in the middle
        middle = 27 + 11 * look.smile * (arch - 0.5) - 7 * look.sneer * across
        half = (1.0 + 8.0 * max(0.0, look.mouth_open) * (0.6 + 0.4 * talking) + 1.5 * talking) * arch
        x = 18 * look.mouth_wide * across
        lips = [*zip(x, middle - half, strict=True), *zip(x[::-1], (middle + half)[::-1], strict=True)]
        cv2.fillPoly(image, [self._fixed(lips)], (25, 15, 75), cv2.LINE_AA, _SHIFT)
        self._line(image, [*lips, lips[0]], 2)

    def _fixed(self, points: list[tuple[float, float]]) -> np.ndarray:
        """Convert points of the head to OpenCV's fixed-point pixels, int32 (N, 2)."""
        where = np.array([self.x, self.y]) + self.scale * np.array(points, dtype=float)
        return np.rint(where * (1 << _SHIFT)).astype(np.int32)

    def _ellipse(
        self, image: np.ndarray, colour: Colour, centre: tuple[float, float], radii: tuple[float, float]
    ) -> None:
        (x, y), axes = self._fixed([centre])[0].tolist(), [round(self.scale * r * (1 << _SHIFT)) for r in radii]
        cv2.ellipse(image, (x, y), (axes[0], axes[1]), 0, 0, 360, colour, -1, cv2.LINE_AA, _SHIFT)

    def _line(self, image: np.ndarray, points: list[tuple[float, float]], thickness: int) -> None:
        cv2.polylines(image, [self._fixed(points)], False, _INK, thickness, cv2.LINE_AA, _SHIFT)
