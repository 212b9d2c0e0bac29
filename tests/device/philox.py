"""Random numbers that are functions of key and counter (Salmon, Moraes, Dror, Shaw 2011), and normals
made of them, by numpy."""

import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)


def philox(counter, key, rounds=10):
    """Return four words: counter, four arrays of 32-bit words; key, two of them; all as uint64."""
    counter, key = ([np.asarray(word, dtype=np.uint64) for word in words] for words in (counter, key))
    for _ in range(rounds):
        products = [np.uint64(factor) * counter[2 * place] for place, factor in enumerate(MULTIPLIERS)]
        (high_0, low_0), (high_1, low_1) = ((product >> np.uint64(32), product & LOW) for product in products)
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0]
        key = [(word + np.uint64(step)) & LOW for word, step in zip(key, WEYL, strict=True)]
    return counter


def halves(words):
    """The low and the high 32 bits of 64."""
    return words & LOW, words >> np.uint64(32)


def normal(like, key, place, index):
    """One standard normal of the float type of `like` for every (key, place, index), by the
    transformation of Box and Muller."""
    a, b, c, _ = philox([*halves(index), *halves(place)], halves(key))
    real = like.dtype.type
    if real is np.float64:
        u = (((a << np.uint64(32) | b) >> np.uint64(11)) + np.uint64(1)).astype(real) * 2.0**-53
    else:
        u = (a.astype(real) + real(0.5)) * real(2.0**-32)
    turn = c.astype(np.uint32).view(np.int32).astype(real)
    return np.sqrt(real(-2) * np.log(u)) * np.cos(turn * real(np.pi / 2**31))
