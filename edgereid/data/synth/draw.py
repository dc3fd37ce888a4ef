"""Painting one person: a jointed figure in three dimensions, projected and painted far to near."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from edgereid.data.synth.garments import AROUND, DOWN, tint, upper_garment
from edgereid.data.synth.heads import paint_head
from edgereid.data.synth.identity import CLOTH, Identity
from edgereid.data.synth.luggage import paint_luggage
from edgereid.data.synth.view import Layer, Place, Point, Pose, View, between

_SHOULDER_Y, _HIP_Y, _SHIN, _THIGH = 0.815, 0.52, 0.235, 0.245
_UPPER_ARM, _FOREARM = 0.17, 0.15
_BARE_ARMS = {"tee": 0.55, "vest": 0.0}
_WIDTH_OF_LEG = {"slim": 0.84, "wide": 1.3, "shorts": 1.18}
_HEM_OF_SKIRT = {"skirt": 0.30, "long skirt": 0.10}
_HEM_OF_COAT = 0.36


def _swing(start: Point, length: float, angle: float, outward: float = 0.0) -> Point:
    """The end of a limb that hangs from ``start``, swung forward by ``angle`` radians."""
    return (
        start[0] + outward,
        start[1] - length * math.cos(angle),
        start[2] + length * math.sin(angle),
    )


def _leg_joints(who: Identity, pose: Pose) -> list[tuple[Point, Point, Point]]:
    """Hip, knee and ankle of both legs, the lower sole on the ground."""
    legs = []
    for side in (1.0, -1.0):
        swing = pose.stride * math.sin(pose.phase) * side
        bend = 1.1 * pose.stride * max(0.0, math.cos(pose.phase) * side)
        hip = (side * 0.048 * who.build, _HIP_Y * who.legs, 0.0)
        knee = _swing(hip, _THIGH, swing + 0.4 * bend)
        legs.append((hip, knee, _swing(knee, _SHIN, swing - 0.9 * bend)))
    lift = 0.035 - min(ankle[1] for _, _, ankle in legs)
    return [
        (hip, (knee[0], knee[1] + lift, knee[2]), (ankle[0], ankle[1] + lift, ankle[2]))
        for hip, knee, ankle in legs
    ]


def _paint_leg(view: View, who: Identity, hip: Point, knee: Point, ankle: Point) -> None:
    looks = who.looks
    cloth = tint(CLOTH[looks.bottom_colour], who.shade)
    accent = CLOTH[looks.leg_colour]
    wide = who.build * _WIDTH_OF_LEG.get(looks.bottom, 1.0)
    toe = (ankle[0], ankle[1] - 0.018, ankle[2] + 0.085)
    bare = looks.bottom in ("shorts", "skirt", "long skirt")
    shin = looks.skin if bare else cloth
    shin_wide = 1.0 if bare else wide
    view.limb(knee, ankle, 0.043 * shin_wide, (0.026 if bare else 0.034) * shin_wide, shin)
    if looks.bottom == "shorts":
        view.limb(hip, between(hip, knee, 0.9), 0.062 * wide, 0.056 * wide, cloth)
    else:
        view.limb(hip, knee, 0.064 * wide, 0.046 * wide, cloth)
    end = knee if bare else ankle
    if looks.legs == "seam":
        side = 0.05 * wide * (1.0 if hip[0] > 0 else -1.0)
        points = [(p[0] + side * share, p[1], p[2]) for p, share in ((hip, 1.1), (end, 0.75))]
        view.limb(points[0], points[1], 0.014, 0.012, accent)
    elif looks.legs == "cuffs":
        start = between(hip, knee, 0.75) if bare else between(knee, ankle, 0.78)
        view.limb(start, end, 0.044 * wide, 0.042 * wide, accent)
    elif looks.legs == "patches":
        view.limb(between(hip, knee, 0.82), between(hip, knee, 0.98), 0.04, 0.038, accent)
    view.limb(ankle, toe, 0.032, 0.026, CLOTH[looks.shoes])


def _paint_arm(view: View, who: Identity, side: float) -> None:
    looks, pose = who.looks, view.pose
    holds = looks.bag in ("handbag", "tote", "trolley") and (side > 0) == looks.left_handed
    swing = (0.1 if holds else 0.8) * -pose.stride * math.sin(pose.phase) * side
    wide = 0.118 * who.shoulders * who.build**0.5
    shoulder = (side * wide, _SHOULDER_Y - 0.03, 0.0)
    elbow = _swing(shoulder, _UPPER_ARM, swing, side * 0.028)
    hand = _swing(elbow, _FOREARM, swing + 0.3, side * 0.006)
    name = looks.second_colour if looks.top == "raglan" else looks.top_colour
    if looks.pattern == "halves" and side > 0 and looks.top != "raglan":
        name = looks.second_colour
    sleeve = tint(CLOTH[name], who.shade)
    bare_from = _BARE_ARMS.get(looks.top)
    thick = 0.034 * who.build
    cover = sleeve if bare_from is None else looks.skin
    view.limb(elbow, hand, thick * 0.85, thick * 0.65, cover)
    view.limb(shoulder, elbow, thick * 1.05, thick * 0.85, cover)
    if bare_from:
        view.limb(shoulder, between(shoulder, elbow, bare_from), thick * 1.2, thick * 1.15, sleeve)
    if bare_from is None and looks.pattern in ("stripes", "bars"):
        band = tint(CLOTH[looks.second_colour], who.shade)
        for a, b in ((shoulder, elbow), (elbow, hand)):
            view.limb(between(a, b, 0.4), between(a, b, 0.55), thick * 0.9, thick * 0.85, band)
    view.limb(hand, hand, 0.023, 0.023, looks.skin)


def _wrap(
    view: View, who: Identity, outline: list[tuple[float, float]], rows: tuple[int, int]
) -> None:
    """Paints the part of the upper garment that faces the camera inside an outline in pixels."""
    left, right = min(x for x, _ in outline), max(x for x, _ in outline)
    top, bottom = min(y for _, y in outline), max(y for _, y in outline)
    width, height = max(2, round(right - left)), max(2, round(bottom - top))
    u = (np.arange(width) + 0.5) / width * 2.0 - 1.0
    angle = np.arcsin(u) - view.pose.heading
    columns = np.floor((angle / (2.0 * math.pi) + 0.5) * AROUND).astype(np.int64) % AROUND
    lines = rows[0] + (np.arange(height) * (rows[1] - rows[0])) // height
    garment = upper_garment(who)[np.minimum(lines, DOWN - 1)[:, None], columns[None, :]]
    lit = u - 0.45 * view.pose.light
    shade = np.clip(256.0 * (1.06 - 0.38 * lit * lit), 90, 280).astype(np.uint16)
    shaded = np.minimum((garment.astype(np.uint16) * shade[None, :, None]) >> 8, 255)
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in outline], fill=255)
    view.canvas.paste(Image.fromarray(shaded.astype(np.uint8)), (round(left), round(top)), mask)


def _paint_torso(view: View, who: Identity) -> None:
    looks = who.looks
    turn = abs(view.cos), abs(view.sin)
    across = who.shoulders * who.build**0.5
    wide = math.hypot(0.135 * across * turn[0], 0.085 * who.build * turn[1])
    waist = math.hypot(0.102 * who.build * turn[0], 0.082 * who.build * turn[1])
    x, soles, scale = view.place.x, view.place.soles, view.place.height
    flat = math.cos(view.pose.pitch) * scale

    def level(y: float) -> float:
        return soles - y * flat

    hem = _HIP_Y * who.legs - 0.045
    outline = [
        (x - 0.045 * scale, level(0.855)), (x + 0.045 * scale, level(0.855)),
        (x + wide * 0.9 * scale, level(0.828)), (x + wide * scale, level(0.79)),
        (x + waist * scale, level(0.62)), (x + waist * 1.08 * scale, level(hem)),
        (x - waist * 1.08 * scale, level(hem)), (x - waist * scale, level(0.62)),
        (x - wide * scale, level(0.79)), (x - wide * 0.9 * scale, level(0.828)),
    ]  # fmt: skip
    if looks.top == "coat":
        tail = [
            (x - waist * scale, level(hem + 0.02)), (x + waist * scale, level(hem + 0.02)),
            (x + waist * 1.35 * scale, level(_HEM_OF_COAT)),
            (x - waist * 1.35 * scale, level(_HEM_OF_COAT)),
        ]  # fmt: skip
        _wrap(view, who, tail, (DOWN - 40, DOWN - 1))
    _wrap(view, who, outline, (0, DOWN))


def _paint_skirt(view: View, who: Identity) -> None:
    looks = who.looks
    low = _HEM_OF_SKIRT[looks.bottom]
    cloth = tint(CLOTH[looks.bottom_colour], who.shade)
    waist, flare = 0.095 * who.build, 0.145 * who.build
    for shrink, colour in ((1.0, tint(cloth, 0.78)), (0.62, cloth)):
        dx = 0.03 * view.pose.light * view.place.height * (shrink < 1)
        corners = [(-waist, 0.56), (waist, 0.56), (flare, low), (-flare, low)]
        points = [
            (
                view.place.x + cx * shrink * view.place.height + dx,
                view.place.soles - cy * math.cos(view.pose.pitch) * view.place.height,
            )
            for cx, cy in corners
        ]
        view.draw.polygon(points, fill=colour)


def paint_person(canvas: Image.Image, who: Identity, pose: Pose, place: Place) -> None:
    """Paints ``who`` onto an RGB canvas, with what they carry."""
    view = View(canvas, pose, place)
    layers: list[Layer] = []
    for joints in _leg_joints(who, pose):
        # Behind the hem (0.01) in any pose, the nearer leg last.
        near = 0.5 * view.depth(joints[0]) - 0.05
        layers.append((near, partial(_paint_leg, view, who, *joints)))
    if "skirt" in who.looks.bottom:
        layers.append((0.0, lambda: _paint_skirt(view, who)))
    layers.append((0.01, lambda: _paint_torso(view, who)))
    for side in (1.0, -1.0):
        near = view.depth((side * 0.13, 0.0, 0.0))
        layers.append((near + 0.015, partial(_paint_arm, view, who, side)))
    layers.extend(paint_luggage(view, who))
    layers.extend(paint_head(view, who))
    for _, paint in sorted(layers, key=lambda layer: layer[0]):
        paint()
