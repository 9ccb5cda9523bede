"""Rule files to a `RuleSet`: directories are laid over each other, files are read one after the other, then what concerns them
together is checked.

Nothing is half loaded: either there is a rule set or an InvalidFileError with all problems found (law 7).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from translators import yamlfile
from translators.building.platform import build_platform, check_credentials, protocol_of
from translators.model import Platform, RuleSet
from translators.overlay import Layers
from translators.paths import parse_pattern
from translators.place import Where
from translators.problems import InvalidFileError, Problem, Problems, quote
from translators.schema import read_fields
from translators.words import platform as words

__all__ = ["load", "load_file", "protocol_of", "read_platform", "shipped_rules"]


def shipped_rules() -> Path:
    """The directory of the rule files that come with the program: beside this package, in a checkout as in an installed wheel."""
    return Path(__file__).resolve().parent.parent / "rules"


def load(directories: Sequence[Path], *, examples: bool = True) -> RuleSet:
    """Reads directories laid over each other: a platform of a later one replaces that of an earlier one, or extends it.

    A file that is replaced and not extended is not read. Without `examples`, which are most of a file and of no use
    to a gateway that serves, they are not read either. Raises InvalidFileError with the problems of all files.
    """
    problems = Problems()
    layers = Layers([{file.stem: file for file in _rule_files(directory, problems)} for directory in directories], examples)
    platforms = {}
    for name in layers.names():
        try:
            platforms[name] = read_platform(layers.tree(name), layers.file(name))
        except InvalidFileError as error:
            problems.add_all(error.problems)
    _check_together(platforms.values(), problems)
    problems.raise_any()
    return RuleSet(platforms)


def load_file(file: Path) -> Platform:
    """One rule file, with what it extends in its own directory; raises InvalidFileError."""
    files = {other.stem: other for other in sorted(file.parent.glob("*.yaml"))} | {file.stem: file}
    return read_platform(Layers([files]).tree(file.stem), file)


def read_platform(node: yamlfile.Node, file: Path) -> Platform:
    """A platform from the tree of its file, which extends nothing any more; raises InvalidFileError."""
    problems = Problems()
    fields = read_fields(node, words.PLATFORM, problems, "a rule file")
    check_credentials(node, problems)
    platform = build_platform(fields, node.where, problems) if fields else None
    if fields and (name := fields.get(words.PLATFORM_NAME)) and name != file.stem:
        message = f"the platform {quote(name)} stands in a file of another name"
        problems.add(message, fields.where(words.PLATFORM_NAME), f"Name the file {name}.yaml, or the platform {file.stem}.")
    problems.raise_any()
    if platform is None:  # cannot be without a problem
        raise InvalidFileError([Problem("no platform can be read", node.where)])
    return platform


# --- directories ---


def _rule_files(directory: Path, problems: Problems) -> list[Path]:
    here = Where(directory, 1, 1)
    try:
        entries = sorted(directory.iterdir())
        root = directory.resolve(strict=True)
    except OSError as error:
        problems.add(f"the rule directory cannot be read: {error.strerror}", here, "Name an existing directory.")
        return []
    files = []
    for entry in entries:
        suffix = entry.suffix.lower()
        if entry.name.startswith(".") or suffix not in (".yaml", ".yml"):
            continue
        place = Where(entry, 1, 1)
        if entry.suffix != ".yaml":
            problems.add("a rule file ends in .yaml", place, f"Rename it to {entry.stem}.yaml.")
        elif not _inside(entry, root):
            problems.add("this link leads out of the rule directory (rule O08)", place, "Copy the file into the directory.")
        else:
            files.append(entry)
    return files


def _inside(entry: Path, root: Path) -> bool:
    try:
        return entry.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop of links
        return False


# --- all platforms together ---


def _check_together(platforms: Iterable[Platform], problems: Problems) -> None:
    platforms = tuple(platforms)
    _check_model_owners(platforms, problems)
    _check_secret_origins(platforms, problems)


def _check_model_owners(platforms: Sequence[Platform], problems: Problems) -> None:
    """Rule C10: without a prefix, method, path and model must name one platform."""
    owners: dict[str, list[tuple[Platform, Where]]] = {}
    routes = {
        platform.name: {(route.method, parse_pattern(route.path).shape): route for route in platform.routes}
        for platform in platforms
    }
    for platform in platforms:
        for model in platform.models:
            others = owners.setdefault(model.name, [])
            for owner, where in others:
                if route := next((route for key, route in routes[platform.name].items() if key in routes[owner.name]), None):
                    message = f"the model {quote(model.name)} on {quote(route.id)} belongs to {owner.name} already ({where})"
                    hint = f"Remove it from one of the two: /{platform.name}{route.path} reaches this platform in any case."
                    problems.add(message, model.where, hint)
                    break
            others.append((platform, model.where))


def _check_secret_origins(platforms: Sequence[Platform], problems: Problems) -> None:
    """Rule N03: a credential belongs to the origin it was declared with; a second one needs a name of its own."""
    owners: dict[str, Platform] = {}
    for platform in platforms:
        for secret in sorted(platform.secrets):
            owner = owners.setdefault(secret, platform)
            one, other = owner.upstream, platform.upstream
            if (one.scheme, one.host, one.port) != (other.scheme, other.host, other.port):
                message = f"the secret {secret} would go to {other.authority}, but it belongs to {one.authority} ({owner.where})"
                problems.add(message, platform.where, "Give this platform a secret of its own name.")
