"""Metric families: a name, its labels, and the children that exist so far, with the text that each child is exposed as.

Here the cardinality is held (rules Q01-Q03): a family has at most `limit` children; the last of them has the labels `overflow` and
stands for all that found no room. What the families of the proxy *are* stands in `catalogue`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Generic, TypeVar

from proxy.telemetry.slots import Bank, Counter, Gauge, Histogram

OVERFLOW = "overflow"
CHILDREN_PER_PART = 200  # about a millisecond of histograms

Child = TypeVar("Child", bound=Counter | Gauge | Histogram)


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a family is. `bounds` are the upper bounds of a histogram, ascending, without infinity."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def slots(self) -> int:
        """Doubles of the bank that one child takes."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1


class Family(Generic[Child]):
    """The children of one spec. `labels(...)` binds one; bind once and keep it, the look-up is not for the hot path."""

    __slots__ = ("_bank", "_children", "_lines", "_make", "_on_overflow", "limit", "spec")

    def __init__(
        self,
        spec: Spec,
        bank: Bank,
        make: Callable[["memoryview[float]", int], Child],
        limit: int,
        on_overflow: Callable[[str], None],
    ) -> None:
        self.spec = spec
        self.limit = limit if spec.labels else 1
        self._bank = bank
        self._make = make
        self._on_overflow = on_overflow
        self._children: dict[tuple[str, ...], Child] = {}
        self._lines: list[tuple[str, int]] = []

    def __len__(self) -> int:
        return len(self._children)

    def labels(self, *values: str) -> Child:
        """The child with these label values, made when it is new; ValueError when their number is not that of the labels."""
        child = self._children.get(values)
        if child is not None:
            return child
        if len(values) != len(self.spec.labels):
            raise ValueError(f"{self.spec.name} has the labels {self.spec.labels}, got {len(values)} values")
        if values and len(self._children) >= self.limit - 1 and values != (OVERFLOW,) * len(values):
            self._on_overflow(self.spec.name)
            values = (OVERFLOW,) * len(values)
            child = self._children.get(values)
            if child is not None:
                return child
        index = self._bank.take(self.spec.slots)
        child = self._children[values] = self._make(self._bank.values, index)
        self._lines.append((self._template(values), index))
        return child

    def samples(self) -> Iterator[tuple[tuple[str, ...], list[float]]]:
        """Label values and raw slots of every child."""
        values = self._bank.values
        for labels, (_, index) in zip(list(self._children), list(self._lines), strict=True):
            yield labels, list(values[index : index + self.spec.slots])

    def exposition(self) -> Iterator[str]:
        """The family in the text format 0.0.4, in parts of bounded size; a child is never split over two parts."""
        yield f"# HELP {self.spec.name} {_escape_help(self.spec.help)}\n# TYPE {self.spec.name} {self.spec.kind.value}\n"
        lines = list(self._lines)
        for start in range(0, len(lines), CHILDREN_PER_PART):
            part = lines[start : start + CHILDREN_PER_PART]
            yield self._histograms(part) if self.spec.kind is Kind.HISTOGRAM else self._scalars(part)

    def _scalars(self, lines: list[tuple[str, int]]) -> str:
        values = self._bank.values
        return "".join([f"{template}{values[index]!r}\n" for template, index in lines])

    def _histograms(self, lines: list[tuple[str, int]]) -> str:
        values, buckets = self._bank.values, len(self.spec.bounds) + 1
        out = []
        for template, index in lines:
            counts = list(accumulate(values[index : index + buckets]))
            out.append(template % (*counts, values[index + buckets], counts[-1]))
        return "".join(out)

    def _template(self, values: tuple[str, ...]) -> str:
        """Everything of a child's lines that never changes: for scalars what precedes the value, else a `%` template."""
        name = self.spec.name
        pairs = ",".join(f'{label}="{_escape_value(value)}"' for label, value in zip(self.spec.labels, values, strict=True))
        if self.spec.kind is not Kind.HISTOGRAM:
            return f"{name}{{{pairs}}} " if pairs else f"{name} "
        pairs = pairs.replace("%", "%%")
        lead = f"{pairs}," if pairs else ""
        own = f"{{{pairs}}}" if pairs else ""
        lines = [f'{name}_bucket{{{lead}le="{bound!r}"}} %d\n' for bound in self.spec.bounds]
        lines.append(f'{name}_bucket{{{lead}le="+Inf"}} %d\n{name}_sum{own} %r\n{name}_count{own} %d\n')
        return "".join(lines)


AnyFamily = Family[Counter] | Family[Gauge] | Family[Histogram]


def _escape_value(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
