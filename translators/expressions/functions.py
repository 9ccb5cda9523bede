"""The functions that an expression may call: one table, from which type checks, documentation and tests are made.

`STANDARD` holds the 26 functions that JMESPath fixes, `FUNCTIONS` these and the project's own, which stand here. An entry is a
`Function`: its signature in the words of the language (`translators.expressions.signature`), one sentence, one example with its
result, and the Python function that does it. Four functions (`lookup`, `if`, `now`, `uuid`) have no Python function here: the
compiler builds them. Conversions whose result is as long as what they read (base64, data URIs) have no bound, because whole
pictures go through them. Nothing here reads a clock, a file or the network, and no function changes what it is given.
"""

import base64 as base64_codec
import binascii
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import add, mul, sub
from typing import Any

import orjson

from translators.expressions.signature import (
    EPOCH,
    LARGEST,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT,
    MILLISECONDS_FROM,
    NUMBERS,
    EvaluationError,
    Function,
    Functions,
    bounded_number,
    bounded_text,
    identity_key,
    key_text,
    nested_deeper,
)
from translators.expressions.standard import STANDARD_FUNCTIONS, to_number

# Numbers

_LEADING_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?)")
_NUMBER_WITH_UNIT = re.compile(r"([+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?)\s{0,9}(?:%|[A-Za-z]{0,20})")


def _leading_number(value: Any) -> float | None:
    if type(value) in NUMBERS:
        return float(value)
    match = _LEADING_NUMBER.match(value) if isinstance(value, str) else None
    return float(match[1]) if match else None


def _candidates(elements: Iterable[Any]) -> list[tuple[float, Any]]:
    return [(number, element) for element in elements if (number := _leading_number(element)) is not None]


def _nearest(value: Any, elements: list[Any]) -> Any:
    wanted, known = _leading_number(value), _candidates(elements)
    if wanted is None or not known:
        return None
    return min(known, key=lambda pair: (abs(pair[0] - wanted), -pair[0]))[1]


def _round_up(value: Any, elements: list[Any]) -> Any:
    wanted, known = _leading_number(value), _candidates(elements)
    if wanted is None or not known:
        return None
    above = [pair for pair in known if pair[0] >= wanted]
    return (min(above, key=lambda pair: pair[0]) if above else max(known, key=lambda pair: pair[0]))[1]


def _round_down(value: Any, elements: list[Any]) -> Any:
    wanted, known = _leading_number(value), _candidates(elements)
    if wanted is None or not known:
        return None
    below = [pair for pair in known if pair[0] <= wanted]
    return (max(below, key=lambda pair: pair[0]) if below else min(known, key=lambda pair: pair[0]))[1]


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        match = _NUMBER_WITH_UNIT.fullmatch(value.strip())
        if match is None:
            return None
        value = int(match[1]) if match[1].lstrip("+-").isdigit() else float(match[1])
    if type(value) not in NUMBERS:
        return None
    number = bounded_number(value)
    return bounded_number(int(number)) if isinstance(number, float) and number.is_integer() and abs(number) < LARGEST else number


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else {"true": True, "false": False}.get(value) if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(bounded_number(int(number)))


def _arithmetic(operation: Callable[[Any, Any], Any]) -> Callable[[float, float], int | float]:
    def calculate(left: float, right: float) -> int | float:
        try:
            return bounded_number(operation(left, right))
        except OverflowError:
            raise EvaluationError("the result is too large for a number") from None

    return calculate


def _divide(dividend: float, divisor: float) -> int | float | None:
    if divisor == 0:
        return None
    if isinstance(dividend, int) and isinstance(divisor, int) and dividend % divisor == 0:
        return bounded_number(dividend // divisor)
    return _arithmetic(lambda left, right: left / right)(dividend, divisor)


# Times


def _unix(value: Any) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        number = to_number(text)
        if number is None:
            return _iso_to_unix(text)
        value = number
    if type(value) not in NUMBERS or not math.isfinite(value):
        return None
    return int(bounded_number(math.floor(value // 1000 if abs(value) > MILLISECONDS_FROM else value)))


def _iso_to_unix(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return math.floor((aware - EPOCH).total_seconds())


def _iso(seconds: float) -> str:
    try:
        return (EPOCH + timedelta(seconds=math.floor(seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError):
        raise EvaluationError(f"iso() takes seconds since 1970, in the years 1 to 9999, not {seconds}") from None


# Sizes

_SIZE = re.compile(r"\s*([0-9]{1,9})\s*[xX×*:]\s*([0-9]{1,9})\s*")


def _sides(size: Any) -> tuple[int, int] | None:
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    return (int(match[1]), int(match[2])) if match else None


def _ratio(size: Any) -> str | None:
    sides = _sides(size)
    if sides is None or 0 in sides:
        return None
    divisor = math.gcd(*sides)
    return f"{sides[0] // divisor}:{sides[1] // divisor}"


# Texts


def _split(text: str, separator: str) -> list[str]:
    if not separator:
        raise EvaluationError("split() needs a separator of at least one character")
    if (pieces := text.count(separator) + 1) > MAX_ITEMS:
        raise EvaluationError(f"split() would make {pieces:,} pieces; the most is {MAX_ITEMS:,}")
    return text.split(separator)


def _replace(text: str, old: str, new: str) -> str:
    if not old:
        raise EvaluationError("replace() needs a text of at least one character to look for")
    size = len(text) + text.count(old) * (len(new) - len(old))
    if size > max(MAX_TEXT, len(text)):
        raise EvaluationError(f"replace() would make a text of {size:,} characters; the most is {MAX_TEXT:,}")
    return text.replace(old, new)


def _substring(text: str, start: float, end: float | None = None) -> str:
    bounds = [None if bound is None else int(bound) for bound in (start, end)]
    if bounds != [start, end]:
        raise EvaluationError("substring() takes whole numbers as `start` and `end`")
    return text[slice(*bounds)]


def _json(text: str) -> Any:
    bounded_text(text, "json")
    try:
        value = orjson.loads(text)
    except ValueError:
        return None
    if text.count("[") + text.count("{") > MAX_DEPTH and nested_deeper(value, MAX_DEPTH):
        raise EvaluationError(f"json() read a value nested deeper than {MAX_DEPTH} levels")
    return value


# Encodings; results are as long as what they read, so whole pictures pass

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}(;[ A-Za-z0-9!#$&^_.+=-]{1,100})*")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_URL_SAFE = str.maketrans("-_", "+/")


def _utf8(text: str, function: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise EvaluationError(f"{function}() takes text that UTF-8 can say; this one holds half a surrogate pair") from None


def _base64(text: str) -> str:
    return base64_codec.b64encode(_utf8(text, "base64")).decode()


def _unbase64(text: str) -> str | None:
    plain = text.translate(_URL_SAFE).rstrip("=")
    try:
        return base64_codec.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except ValueError:
        return None


def _hex_to_base64(text: str) -> str | None:
    try:
        return binascii.b2a_base64(bytes.fromhex(text), newline=False).decode()
    except ValueError:
        return None


def _data_uri(media_type: str, data: str) -> str:
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise EvaluationError("data_uri() takes a media type like image/png first")
    return f"data:{media_type};base64,{data}"


def _from_data_uri(text: str) -> dict[str, str] | None:
    end = text.find(",", 0, 512)
    if end < 0 or text[:5].lower() != "data:":
        return None
    head = text[5:end]
    media_type = head[:-7] if head[-7:].lower() == ";base64" else head
    if media_type != head:
        data = text[end + 1 :]
    else:
        octets = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), _utf8(text[end + 1 :], "from_data_uri"))
        data = base64_codec.b64encode(octets).decode()
    return {"media_type": media_type or "text/plain", "data": data}


_URL = re.compile(r"https?://[^\s/?#\x00-\x20\x7f]++[^\s\x00-\x20\x7f]*+", re.IGNORECASE)
_URL_IN_TEXT = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.IGNORECASE)


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and _URL.fullmatch(value) is not None


def _first_url(text: str) -> str | None:
    match = _URL_IN_TEXT.search(text)
    if match is None:
        return None
    url = match[0]
    surplus = {close: url.count(close) - url.count(start) for start, close in ("()", "[]")}
    end = len(url)
    # A sentence or a Markdown link goes on behind the URL; brackets that the URL opened itself belong to it.
    while url[end - 1] in ".,;:!?'*" or surplus.get(url[end - 1], 0) > 0:
        end -= 1
        if url[end] in surplus:
            surplus[url[end]] -= 1
    return url[:end] if _is_url(url[:end]) else None


# Objects and lists


def _object(entries: list[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for entry in entries:
        key = entry.get("key") if isinstance(entry, Mapping) else None
        if key is None or isinstance(key, list | Mapping):
            raise EvaluationError("object() takes a list of objects with a text as `key` and any `value`")
        made[key_text(key)] = entry.get("value")
    return made


def _unique(elements: list[Any]) -> list[Any]:
    first: dict[Any, Any] = {}
    for element in elements:
        first.setdefault(identity_key(element), element)
    return list(first.values())


EXAMPLE_TABLES: Mapping[str, Mapping[str, Any]] = {"ratio": {"1280x720": "16:9"}, "status": {"1000-1004": 401, "1203": 404}}
EXAMPLE_SCOPE: Mapping[str, Any] = {"now": 1735787045, "uuid": "5c1f4a3e-7d0b-4a52-9c58-1f6f5a0c9b11"}

_OWN = (
    Function(
        "lookup(table: string, key: string|number|boolean?, [default: any]) -> any",
        "The table's value for the key (ranges like 1000-1004 count), else the default, else null.",
        "lookup('status', `1002`)",
        401,
    ),
    Function(
        "if(condition: any, then: any, otherwise: any) -> any",
        "One of two values; the other is not evaluated.",
        "if('' , 'a', 'b')",
        "b",
    ),
    Function(
        "now() -> number", "The time, in seconds since 1970; not inside filters and projections.", "now()", 1735787045, impure=True
    ),
    Function(
        "uuid() -> string",
        "A new random identifier; not inside filters and projections.",
        "uuid()",
        "5c1f4a3e-7d0b-4a52-9c58-1f6f5a0c9b11",
        impure=True,
    ),
    Function(
        "nearest(value: number|string?, list: array) -> any",
        "The element nearest to the number that the value starts with; of two, the larger.",
        "nearest('8s', ['5', '10'])",
        "10",
        _nearest,
    ),
    Function(
        "round_up(value: number|string?, list: array) -> any",
        "The smallest element not below the value, else the largest.",
        "round_up(`6`, [`5`, `10`])",
        10,
        _round_up,
    ),
    Function(
        "round_down(value: number|string?, list: array) -> any",
        "The largest element not above the value, else the smallest.",
        "round_down(`6`, [`5`, `10`])",
        5,
        _round_down,
    ),
    Function(
        "number(value: any) -> number|null", "The number in front of an optional unit, else null.", "number('35%')", 35, _number
    ),
    Function("integer(value: any) -> number|null", "The same without its fraction.", "integer('12.7s')", 12, _integer),
    Function("flag(value: any) -> boolean|null", "True or false, also as the text that a form holds.", "flag('true')", True, _flag),
    Function(
        "clamp(value: number?, low: number, high: number) -> number|null",
        "The value, kept between two bounds.",
        "clamp(`12`, `0`, `10`)",
        10,
        lambda value, low, high: max(low, min(high, value)),
    ),
    Function("add(left: number?, right: number?) -> number|null", "The sum.", "add(`1`, `2`)", 3, _arithmetic(add)),
    Function("sub(left: number?, right: number?) -> number|null", "The difference.", "sub(`3`, `2`)", 1, _arithmetic(sub)),
    Function("mul(left: number?, right: number?) -> number|null", "The product.", "mul(`2`, `3`)", 6, _arithmetic(mul)),
    Function(
        "div(dividend: number?, divisor: number?) -> number|null",
        "The quotient; null for a division by zero.",
        "div(`3`, `2`)",
        1.5,
        _divide,
    ),
    Function(
        "unix(time: any) -> number|null",
        "Seconds since 1970 from seconds, milliseconds, digits or ISO 8601 text (UTC if it says no zone).",
        "unix('2025-01-02T03:04:05Z')",
        1735787045,
        _unix,
    ),
    Function(
        "iso(seconds: number?) -> string|null",
        "ISO 8601 text in UTC from seconds since 1970.",
        "iso(`1735787045`)",
        "2025-01-02T03:04:05Z",
        _iso,
    ),
    Function(
        "width(size: any) -> number|null",
        "The first side of a size.",
        "width('1280x720')",
        1280,
        lambda size: sides[0] if (sides := _sides(size)) else None,
    ),
    Function(
        "height(size: any) -> number|null",
        "The second side of a size.",
        "height('1280*720')",
        720,
        lambda size: sides[1] if (sides := _sides(size)) else None,
    ),
    Function(
        "ratio(size: any) -> string|null", "The aspect ratio of a size in smallest numbers.", "ratio('1280x720')", "16:9", _ratio
    ),
    Function(
        "split(text: string?, separator: string) -> array|null",
        "The pieces between the separators.",
        "split('a,b', ',')",
        ["a", "b"],
        _split,
    ),
    Function(
        "replace(text: string?, old: string, new: string) -> string|null",
        "Every occurrence replaced.",
        "replace('a-b', '-', '_')",
        "a_b",
        _replace,
    ),
    Function(
        "trim(text: string?, [characters: string]) -> string|null",
        "Without white space, or these characters, at both ends.",
        "trim(' a ')",
        "a",
        str.strip,
    ),
    Function("lower(text: string?) -> string|null", "In small letters.", "lower('Ab')", "ab", str.lower),
    Function("upper(text: string?) -> string|null", "In capital letters.", "upper('Ab')", "AB", str.upper),
    Function(
        "substring(text: string?, start: number, [end: number|null]) -> string|null",
        "The characters from start to before end; negative counts from the end.",
        "substring('abcdef', `1`, `3`)",
        "bc",
        _substring,
    ),
    Function("json(text: string?) -> any", "The value of a JSON text; null when it is none.", "json('[1, 2]')", [1, 2], _json),
    Function("base64(text: string?) -> string|null", "The text's UTF-8 in base64.", "base64('Hi')", "SGk=", _base64),
    Function(
        "unbase64(text: string?) -> string|null",
        "The text in base64, either alphabet; null when it is none or no UTF-8.",
        "unbase64('SGk=')",
        "Hi",
        _unbase64,
    ),
    Function(
        "hex_to_base64(text: string?) -> string|null",
        "Bytes in hexadecimal as base64; null when they are none.",
        "hex_to_base64('4869')",
        "SGk=",
        _hex_to_base64,
    ),
    Function(
        "data_uri(media_type: string, data: string?) -> string|null",
        "A data URI of base64 text.",
        "data_uri('image/png', 'SGk=')",
        "data:image/png;base64,SGk=",
        _data_uri,
    ),
    Function(
        "from_data_uri(text: string?) -> object|null",
        "Media type and base64 text of a data URI; null when it is none.",
        "from_data_uri('data:image/png;base64,SGk=')",
        {"media_type": "image/png", "data": "SGk="},
        _from_data_uri,
    ),
    Function(
        "is_url(value: any) -> boolean", "Whether it is an http or https URL.", "is_url('https://example.com/a.png')", True, _is_url
    ),
    Function(
        "first_url(text: string?) -> string|null",
        "The first http or https URL in a text.",
        "first_url('![a](https://example.com/a.png), done')",
        "https://example.com/a.png",
        _first_url,
    ),
    Function(
        "omit_nulls(value: object?) -> object|null",
        "The object without its members that are null.",
        'omit_nulls(`{"a": null, "b": 1}`)',
        {"b": 1},
        lambda value: {key: member for key, member in value.items() if member is not None},
    ),
    Function(
        "entries(value: object?) -> array|null",
        "The members as a list of key and value.",
        'entries(`{"a": 1}`)',
        [{"key": "a", "value": 1}],
        lambda value: [{"key": key, "value": member} for key, member in value.items()],
    ),
    Function(
        "object(entries: array?) -> object|null",
        "An object from a list of key and value; the last of one key wins.",
        'object(`[{"key": "a", "value": 1}]`)',
        {"a": 1},
        _object,
    ),
    Function(
        "unique(list: array?) -> array|null",
        "The list without repetitions; the first of each stays.",
        "unique(['a', 'b', 'a'])",
        ["a", "b"],
        _unique,
    ),
)

STANDARD: Functions = {function.name: function for function in STANDARD_FUNCTIONS}
FUNCTIONS: Functions = {function.name: function for function in (*STANDARD_FUNCTIONS, *_OWN)}
