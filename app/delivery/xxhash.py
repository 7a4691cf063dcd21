"""XXH64, the digest that Auth0 uses for fields of log streams. Fast and no secret-keeper: equal values stay equal."""

_1, _2, _3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_4, _5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_MASK = 2**64 - 1


def _rotated(value: int, bits: int) -> int:
    value &= _MASK
    return (value << bits | value >> (64 - bits)) & _MASK


def _round(lane: int, word: int) -> int:
    return _rotated(lane + word * _2, 31) * _1 & _MASK


def xxh64(text: bytes, seed: int = 0) -> str:
    """Sixteen hexadecimal digits."""
    at, end = 0, len(text)
    if end >= 32:
        lanes = [seed + _1 + _2, seed + _2, seed, seed - _1]
        while at + 32 <= end:
            for lane in range(4):
                word = int.from_bytes(text[at + lane * 8 : at + lane * 8 + 8], "little")
                lanes[lane] = _round(lanes[lane], word)
            at += 32
        found = sum(_rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True))
        for lane in lanes:
            found = (found ^ _round(0, lane)) * _1 + _4
    else:
        found = seed + _5
    found = found + end & _MASK
    while at + 8 <= end:
        found = _rotated(found ^ _round(0, int.from_bytes(text[at : at + 8], "little")), 27) * _1 + _4
        at += 8
    if at + 4 <= end:
        found = _rotated(found ^ int.from_bytes(text[at : at + 4], "little") * _1, 23) * _2 + _3
        at += 4
    for byte in text[at:]:
        found = _rotated(found ^ byte * _5, 11) * _1
    found &= _MASK
    found = (found ^ found >> 33) * _2 & _MASK
    found = (found ^ found >> 29) * _3 & _MASK
    return f"{found ^ found >> 32:016x}"
