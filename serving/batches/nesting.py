"""How deep the JSON of a line may be nested.

Decoders end with an error where their stack does, each at a depth of its own: what one has taken,
another one may stumble over later. A bound far below all of them is the same everywhere. Pure.
"""

import re

MAX_LEVELS = 256
_OPENING, _CLOSING = b"[{", b"]}"
_TEXT_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def is_deeper(raw: bytes, levels: int = MAX_LEVELS) -> bool:
    """Whether objects and arrays are nested in more than `levels`. `raw` may be no JSON at all."""
    if raw.count(b"[") + raw.count(b"{") <= levels:
        return False
    depth = 0
    for found in _TEXT_OR_BRACKET.finditer(raw):
        sign = found[0]
        if sign in _OPENING:
            depth += 1
            if depth > levels:
                return True
        elif sign in _CLOSING:
            depth -= 1
    return False
