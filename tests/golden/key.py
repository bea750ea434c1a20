#!/usr/bin/env python3
"""A second implementation of kart's canonical JSON, keys and path segments, and the keeper of vectors.json.

    python3 tests/golden/key.py --check    recompute all that is derived; exit 1 and name each difference
    python3 tests/golden/key.py --write    recompute all that is derived, and write it down

It needs Python 3.9 and the package `blake3`, and it shares nothing with the Rust code but the
contract. A vector that is in a release is never changed: its key is in somebody's bucket.
"""

import argparse
import json
import pathlib
import re
import struct
import sys

from blake3 import blake3

VECTORS = pathlib.Path(__file__).with_name("vectors.json")


# --- canonical JSON: RFC 8785, with integers of any size printed exactly --------------------------


def ecmascript(value):
    """A float as ECMAScript's Number::toString prints it; None for NaN and infinities."""
    if value != value or value in (float("inf"), float("-inf")):
        return None
    if value == 0:
        return "0"
    if value < 0:
        return "-" + ecmascript(-value)
    # repr has the shortest digits that read back as the value; only their layout differs.
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    count = len(digits)
    # The names of ECMA-262: digits is s, count is k, point is n.
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    sign = "+" if point > 0 else "-"
    fraction = "." + digits[1:] if count > 1 else ""
    return f"{digits[0]}{fraction}e{sign}{abs(point - 1)}"


def quote(text):
    short = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}

    def escape(character):
        code = ord(character)
        if code in short:
            return "\\" + short[code]
        return f"\\u{code:04x}" if code < 0x20 else character

    return '"' + "".join(map(escape, text)) + '"'


def canonical(value):
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = ecmascript(value)
        if text is None:
            raise ValueError(f"{value} has no JSON form")
        return text
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
    return "{" + ",".join(f"{quote(name)}:{canonical(item)}" for name, item in members) + "}"


def hex128(text):
    return blake3(text.encode()).hexdigest()[:32]


# --- a parameter's text as a segment of a path ----------------------------------------------------

DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[1-9])(\..*)?", re.IGNORECASE | re.ASCII | re.DOTALL)


def segment(text):
    if text == "":
        return "(empty)"
    data = text.encode()
    parts = []
    for index, byte in enumerate(data):
        character = chr(byte)
        keep = byte < 0x80 and (character.isalnum() or character in "_.=,+@-")
        if character == "." and index in (0, len(data) - 1):
            keep = False
        if index == 0 and DEVICE.fullmatch(text):
            keep = False
        parts.append(character if keep else f"%{byte:02X}")
    whole = "".join(parts)
    if len(whole) <= 150:
        return whole
    kept = ""
    for part in parts:
        if len(kept) + len(part) > 110:
            break
        kept += part
    return f"{kept}({hex128(whole)})"


# --- the vectors ----------------------------------------------------------------------------------


def read_integer(text):
    # `-0` is an integer literal, and the integer is 0.
    return int(text)


def refuse_constant(text):
    raise ValueError(f"{text} is not JSON")


def read():
    return json.loads(
        VECTORS.read_text(encoding="utf-8"),
        parse_int=read_integer,
        parse_float=float,
        parse_constant=refuse_constant,
    )


def derive(vectors):
    """Each vector with its derived members computed: (its name, the vector, the members)."""
    for case in vectors["keys"]:
        identity = {name: case[name] for name in ("task", "version", "params", "requires")}
        text = canonical(identity)
        yield f"key {case['what']!r}", case, {"canonical": text, "key": hex128(text)}
    for case in vectors["floats"]:
        (value,) = struct.unpack(">d", bytes.fromhex(case["bits"]))
        yield f"float {case['bits']}", case, {"text": ecmascript(value)}
    for case in vectors["paths"]:
        yield f"path {case['text'][:40]!r}", case, {"segment": segment(case["text"])}


def check(vectors):
    differences = 0
    for name, case, derived in derive(vectors):
        for member, value in derived.items():
            if case.get(member, "") != value:
                differences += 1
                print(f"{name}: {member} is\n  {case.get(member)!r}\nbut should be\n  {value!r}", file=sys.stderr)
    names = [case["what"] for case in vectors["keys"]]
    for name in sorted({name for name in names if names.count(name) > 1}):
        differences += 1
        print(f"key {name!r}: there are two of this name", file=sys.stderr)
    count = sum(map(len, vectors.values()))
    print(f"{count} vectors, {differences} differences")
    return 1 if differences else 0


def write(vectors):
    for _, case, derived in derive(vectors):
        case.update(derived)
    # One vector a line, in ASCII, so that no editor and no normalization touches what it says.
    groups = []
    for name, cases in vectors.items():
        lines = ",\n".join("    " + json.dumps(case, allow_nan=False) for case in cases)
        groups.append(f"  {json.dumps(name)}: [\n{lines}\n  ]")
    VECTORS.write_text("{\n" + ",\n".join(groups) + "\n}\n", encoding="utf-8")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_const", dest="mode", const=check)
    mode.add_argument("--write", action="store_const", dest="mode", const=write)
    return parser.parse_args().mode(read())


if __name__ == "__main__":
    sys.exit(main())
