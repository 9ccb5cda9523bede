"""The shape of the house: which room may import which, no cycles, and no platform's name in code."""

import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for room in ("proxy", "translators")
    for file in sorted((ROOT / room).rglob("*.py"))
}
WIRE = sorted(name for name in FILES if name.startswith("proxy.wire"))

# Files that hold a platform's name for a reason. Everything else keeps it in rules/*.yaml.
MAY_NAME_PLATFORMS = {
    "proxy.sandbox.dialect": "header names that a protocol fixes and its official clients read, whoever's name is in them",
}


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(body: list[ast.stmt], *, everywhere: bool) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported; `everywhere`: inside functions too. Never those for type checkers only."""
    for node in body:
        if is_type_checking(node) or (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not everywhere):
            continue
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            for child in getattr(node, name, ()):
                inner = child.body if isinstance(child, ast.ExceptHandler | ast.match_case) else [child]
                yield from statements(inner, everywhere=everywhere)


def imports(name: str, *, everywhere: bool) -> set[str]:
    """The modules that a module imports, as far down as is known: `from proxy.net import sockets` is proxy.net.sockets."""
    found: set[str] = set()
    for node in statements(ast.parse(FILES[name].read_text("utf-8")).body, everywhere=everywhere):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: imports here are absolute"
            base = str(node.module)
            parts = {f"{base}.{alias.name}" for alias in node.names}
            found |= {part if part in FILES else base for part in parts}
    return found


def own(modules: set[str]) -> set[str]:
    return {module for module in modules if module in FILES}


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("translators")])
def test_translators_import_nothing_of_the_proxy(name: str) -> None:
    assert not {module for module in imports(name, everywhere=True) if module.partition(".")[0] == "proxy"}


@pytest.mark.parametrize("name", WIRE)
def test_what_a_message_means_is_decided_without_sockets(name: str) -> None:
    imported = imports(name, everywhere=True)
    rooms = {module for module in own(imported) if not module.startswith(("proxy.wire", "translators"))}
    assert rooms <= {"proxy.settings", "proxy.outcomes"}
    kernel = {"select", "selectors", "socket", "ssl", "subprocess", "threading", "time"}
    # The module that wraps aiohttp's parsers names the loop's type, because their constructors want a loop.
    forbidden = kernel if name == "proxy.wire.parser" else kernel | {"asyncio", "aiohttp"}
    assert not {module.partition(".")[0] for module in imported} & forbidden


# The sandbox is made from rule files, so it reads them as the gateway does.
@pytest.mark.parametrize(("room", "more"), [("proxy.sandbox", "translators"), ("proxy.telemetry", "proxy.telemetry")])
def test_the_rooms_beside_the_engine_do_not_know_it(room: str, more: str) -> None:
    for name in FILES:
        if name.startswith(room):
            beyond = {module for module in own(imports(name, everywhere=True)) if not module.startswith((room, more))}
            assert beyond <= {"proxy", "proxy.outcomes", "proxy.settings"}, f"{name} imports {sorted(beyond)}"


# Each room of the engine with the rooms it may use; `wire`, `telemetry` and `sandbox` have tests of their own above.
ENGINE = {
    "proxy.net": set[str](),
    "proxy.upstream": {"proxy.net", "proxy.wire", "proxy.telemetry"},
    "proxy.routing": {"proxy.upstream", "proxy.wire", "proxy.telemetry"},
    "proxy.fetch": {"proxy.upstream"},
    "proxy.store": set[str](),
    "proxy.orchestrate": {"proxy.fetch", "proxy.store", "proxy.upstream", "proxy.wire", "proxy.telemetry", "proxy.secrets"},
    "proxy.carry": {"proxy.routing", "proxy.upstream", "proxy.wire", "proxy.net", "proxy.telemetry"},
}


@pytest.mark.parametrize("room", ENGINE)
def test_the_rooms_of_the_engine_use_each_other_one_way(room: str) -> None:
    allowed = (room, "translators", "proxy.settings", "proxy.outcomes", *ENGINE[room])
    for name in FILES:
        if name.startswith(room):
            beyond = {module for module in own(imports(name, everywhere=True)) if not module.startswith(allowed)}
            assert beyond == set(), f"{name} imports {sorted(beyond)}"


def test_undocumented_parser_classes_are_touched_by_one_module_only() -> None:
    pattern = re.compile(r"http_parser|http_writer|web_protocol|client_proto|base_protocol")
    touching = {name for name, file in FILES.items() if name != "proxy.wire.parser" and pattern.search(code_of(file))}
    assert touching == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: own(imports(name, everywhere=False)) - {name} for name in FILES}
    try:
        order = tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert len(order) == len(FILES)


def test_everything_imported_is_declared_or_comes_with_python() -> None:
    declared = {"aiohttp", "aiohappyeyeballs", "jmespath", "multidict", "msgspec", "orjson", "prometheus_client", "yaml", "yarl"}
    # each imported where it is needed only, with an error that names the extra to install
    declared |= {"uvloop", "cryptography", "redis", "brotli", "brotlicffi", "zstandard", "backports"}
    for name in FILES:
        tops = {module.partition(".")[0] for module in imports(name, everywhere=True)}
        assert tops <= declared | {"proxy", "translators"} | sys.stdlib_module_names, name


def code_of(file: Path) -> str:
    """The file without its comments."""
    with tokenize.open(file) as source:
        tokens = [token for token in tokenize.generate_tokens(source.readline) if token.type != tokenize.COMMENT]
    return "\n".join(token.string for token in tokens)


def test_no_python_file_knows_the_name_of_a_platform() -> None:
    """What is particular to a platform stands in its rule file; a comment may say whose protocol something is."""
    platforms = sorted(file.stem for file in (ROOT / "rules").glob("*.yaml"))
    assert platforms
    pattern = re.compile(rf"(?<![A-Za-z])({'|'.join(platforms)})(?![A-Za-z])", re.IGNORECASE)
    # Protocols have words and header fields that are called after who made them: the coded pairs must say those.
    files = {name: file for name, file in FILES.items() if not name.startswith("translators.interpreters")}
    found = {name: sorted({hit.lower() for hit in pattern.findall(code_of(file))}) for name, file in files.items()}
    named = {name: hits for name, hits in found.items() if hits}
    assert set(named) <= set(MAY_NAME_PLATFORMS), named
    assert set(MAY_NAME_PLATFORMS) <= set(named), "an exception that is not needed any more"


def test_rules_are_data_only() -> None:
    assert {file.suffix for file in (ROOT / "rules").rglob("*") if file.is_file()} == {".yaml"}
