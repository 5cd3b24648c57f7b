"""The best that could have been done: each minute the linear program over ESPs and mailbox
providers with the true probabilities, the rate limits and what waits from before. Exact, by moving
messages along the cheapest way out of an ESP that has too many (successive shortest paths)."""

import itertools

from bench.world.scene import CAPS, ESPS, HARD, MINUTE, PROVIDERS, SILENT, Scene

_WAIT = "wait"  #: a place with any room that delivers nothing
_EPSILON = 1e-9
Shares = dict[tuple[str, str], float]


def delivered(scene: Scene) -> float:
    """The expected number of deliveries."""
    waiting = dict.fromkeys(PROVIDERS, 0.0)
    total = 0.0
    for start in range(0, scene.seconds, MINUTE):
        for second in scene.arrivals[start : start + MINUTE]:
            for provider in second:
                waiting[provider] += 1
        minute, waiting = _minute(scene, start, waiting)
        total += minute
    return total


def _minute(scene: Scene, start: int, demand: dict[str, float]) -> tuple[float, dict[str, float]]:
    broken = scene.broken(start)
    dead = {fault.esp for fault in broken if fault.kind in (HARD, SILENT)}
    room = {
        esp: 0.0 if esp in dead else CAPS[esp] * scene.rate * MINUTE for esp in ESPS
    }  # fmt: skip
    room[_WAIT] = float("inf")
    worth = {(esp, m): scene.chance(esp, m, start, broken) for esp in ESPS for m in PROVIDERS}
    worth |= {(_WAIT, m): 0.0 for m in PROVIDERS}
    shares = best(worth, room, demand)
    total = sum(worth[cell] * count for cell, count in shares.items())
    return total, {m: shares.get((_WAIT, m), 0.0) for m in PROVIDERS}


def best(worth: Shares, room: dict[str, float], demand: dict[str, float]) -> Shares:
    """How many messages to each mailbox provider go through each place, for the most deliveries."""
    places = list(room)
    shares = dict.fromkeys(worth, 0.0)
    for provider, count in demand.items():
        top = max(places, key=lambda place: worth[place, provider])
        shares[top, provider] = count
    used = {place: sum(shares[place, m] for m in demand) for place in places}
    while over := [place for place in places if used[place] > room[place] + _EPSILON]:
        path = _cheapest(shares, worth, room, used, over[0])
        _move(path, shares, room, used, over[0])
    return shares


Step = tuple[str, str, str]  #: from, to, mailbox provider


def _cheapest(
    shares: Shares, worth: Shares, room: dict[str, float], used: dict[str, float], start: str
) -> list[Step]:
    providers = {m for _, m in worth}
    step: dict[tuple[str, str], tuple[float, Step]] = {}
    for a, b in itertools.permutations(room, 2):
        ways = [(worth[a, m] - worth[b, m], (a, b, m)) for m in providers
                if shares[a, m] > _EPSILON]  # fmt: skip
        if ways:
            step[a, b] = min(ways)
    others = [place for place in room if place != start]
    found = []
    for length in range(1, len(others) + 1):
        for way in itertools.permutations(others, length):
            pairs = list(itertools.pairwise((start, *way)))
            if room[way[-1]] - used[way[-1]] > _EPSILON and all(pair in step for pair in pairs):
                steps = [step[pair] for pair in pairs]
                found.append((sum(cost for cost, _ in steps), [one for _, one in steps]))
    return min(found)[1]


def _move(
    path: list[Step], shares: Shares, room: dict[str, float], used: dict[str, float], start: str
) -> None:
    end = path[-1][1]
    count = min(used[start] - room[start], room[end] - used[end])
    count = min(count, *(shares[a, m] for a, _, m in path))
    for a, b, m in path:
        shares[a, m] -= count
        shares[b, m] += count
    used[start] -= count
    used[end] += count
