"""The numba loop of `clearance`."""

from typing import Any

from unflat.kernels.walking_cpu import compiled, inlined


@inlined
def improved(distance: Any, i: int, j: int, k: int, forwards: bool) -> int:
    """One more than the nearest of the 13 neighbours that were visited before, if that is less."""
    best = int(distance[i, j, k])
    sign = -1 if forwards else 1
    for a in range(2):
        for b in range(-1, 2):
            for c in range(-1, 2):
                if a == 0 and (b * sign < 0 or (b == 0 and c * sign <= 0)):
                    continue  # this cell itself, or one that comes later
                x, y, z = i + a * sign, j + b, k + c
                if 0 <= x < distance.shape[0] and 0 <= y < distance.shape[1] and 0 <= z < distance.shape[2]:
                    best = min(best, int(distance[x, y, z]) + 1)
    return best


@compiled
def fill(occupied: Any, distance: Any) -> None:
    """Fill `distance` [i, j, k], uint8: there and back over the grid, from neighbour to neighbour."""
    ni, nj, nk = occupied.shape
    for i in range(ni):
        for j in range(nj):
            for k in range(nk):
                distance[i, j, k] = 0 if occupied[i, j, k] else 255
                distance[i, j, k] = min(255, improved(distance, i, j, k, True))
    for i in range(ni - 1, -1, -1):
        for j in range(nj - 1, -1, -1):
            for k in range(nk - 1, -1, -1):
                distance[i, j, k] = min(255, improved(distance, i, j, k, False))
