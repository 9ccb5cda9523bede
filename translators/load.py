"""Rule files to a `RuleSet`: one file after the other by the words of `translators.words`, then what concerns them together.

Reading the directory is here, and every check that needs more than one word or more than one file. Nothing is half loaded: either
there is a rule set or an InvalidFileError with all problems found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from translators import words, yamlfile
from translators.model import Platform, Protocol, Route, RuleSet, Where
from translators.paths import conflicts, parse_pattern
from translators.problems import InvalidFileError, Problem, Problems, quote
from translators.schema import Fields, read_fields

_PATHS_OF = (("/v1/messages", Protocol.MESSAGES), ("/v1/responses", Protocol.RESPONSES), ("/v1beta", Protocol.GENERATE))


def shipped_rules() -> Path:
    """The directory of the rule files that come with the program: beside this package, in a checkout as in an installed wheel."""
    return Path(__file__).resolve().parent.parent / "rules"


def load(directories: Sequence[Path]) -> RuleSet:
    """Reads directories laid over each other: a platform of a later one replaces that of an earlier one as a whole.

    A replaced file is not read. Raises InvalidFileError with the problems of all files.
    """
    problems = Problems()
    files: dict[str, Path] = {}
    for directory in directories:
        files |= {file.stem: file for file in _rule_files(directory, problems)}
    platforms = {}
    for name in sorted(files):
        try:
            platforms[name] = load_file(files[name])
        except InvalidFileError as error:
            problems.add_all(error.problems)
    _check_together(platforms.values(), problems)
    problems.raise_any()
    return RuleSet(platforms)


def load_file(file: Path) -> Platform:
    """One rule file; raises InvalidFileError."""
    return read_platform(yamlfile.read(file), file)


def read_platform(node: yamlfile.Node, file: Path) -> Platform:
    """A platform from the tree of its file; raises InvalidFileError."""
    problems = Problems()
    fields = read_fields(node, words.PLATFORM, problems, "a rule file")
    platform = _assemble(fields, node.where, problems) if fields else None
    if fields and (name := fields.get(words.PLATFORM_NAME)) and name != file.stem:
        message = f"the platform {quote(name)} stands in a file of another name"
        problems.add(message, fields.where(words.PLATFORM_NAME), f"Name the file {name}.yaml, or the platform {file.stem}.")
    problems.raise_any()
    if platform is None:  # cannot be without a problem
        raise InvalidFileError([Problem("no platform can be read", node.where)])
    return platform


def _assemble(fields: Fields, where: Where, problems: Problems) -> Platform | None:
    name, upstream, auth = fields.get(words.PLATFORM_NAME), fields.get(words.UPSTREAM), fields.get(words.AUTH_WORD)
    protocol = fields.get(words.PROTOCOL) or Protocol.CHAT
    routes = _routes(fields.get(words.ROUTES) or (), protocol, problems)
    if words.ROUTES not in fields and words.NATIVE not in fields:
        problems.add("this platform serves nothing", where, "Add `routes`, or `native: carry`.")
    _check_headers(fields, problems)
    _check_models(fields, problems)
    if name is None or upstream is None or auth is None:
        return None
    if fields.get(words.INSECURE):
        if upstream.scheme == "http":
            hint = "Remove the line: there is no certificate to check."
            problems.add("`insecure` says nothing for an http upstream", fields.where(words.INSECURE), hint)
        upstream = replace(upstream, insecure=True)
    return Platform(
        name=name,
        title=fields.get(words.TITLE) or name,
        docs=fields.get(words.DOCS),
        upstream=upstream,
        auth=auth,
        where=fields.where(words.PLATFORM_NAME) or where,
        headers=fields.get(words.HEADERS) or (),
        models=fields.get(words.MODELS) or (),
        routes=routes,
        native=fields.get(words.NATIVE) is not None,
        protocol=protocol,
        set_cookie=fields.get(words.SET_COOKIE) or False,
        half_close=fields.get(words.HALF_CLOSE) or False,
        early_hints=fields.get(words.EARLY_HINTS) or False,
        timeouts=fields.get(words.TIMEOUTS_WORD) or {},
        limits=fields.get(words.LIMITS_WORD) or {},
    )


def _routes(written: Sequence[words.WrittenRoute], protocol: Protocol, problems: Problems) -> tuple[Route, ...]:
    for first, second, why in conflicts((route.method, route.pattern, route) for route in written):
        message = f"{quote(second.text)} {why} {quote(first.text)} in line {first.where.line}"
        hint = "Remove one of the two." if why.startswith("matches") else "Put it above the other one, or remove it."
        problems.add(message, second.where, hint)
    return tuple(
        Route(route.method, route.pattern.text, route.protocol or protocol_of(route.pattern.text) or protocol, route.where)
        for route in written
    )


def protocol_of(path: str) -> Protocol | None:
    """What a path tells about the protocol: `/v1/messages`, `/v1/responses` and all below them, `/v1beta/...`."""
    for start, protocol in _PATHS_OF:
        if path == start or path.startswith(start + "/"):
            return protocol
    return None


def _check_headers(fields: Fields, problems: Problems) -> None:
    auth, headers = fields.get(words.AUTH_WORD), fields.get(words.HEADERS) or ()
    if auth is None or auth.header is None:
        return
    if any(header.name.lower() == auth.header.lower() for header in headers):
        message = f"the header {quote(auth.header)} is written by `auth` already"
        problems.add(message, fields.where(words.HEADERS), "Remove it from `headers`.")


def _check_models(fields: Fields, problems: Problems) -> None:
    headers = fields.get(words.HEADERS) or ()
    if any(header.value.needs_model for header in headers):
        return
    for model in fields.get(words.MODELS) or ():
        if model.upstream is not None:
            message = (
                f"the alias {quote(model.name)} has no effect: bodies are carried, and no header of this platform holds ${{model}}"
            )
            problems.add(
                message, model.where, f"List the platform's own name, {quote(model.upstream)}, or use ${{model}} in a header."
            )


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
    owners: dict[tuple[str, str, str], tuple[Platform, Where]] = {}
    for platform in platforms:
        shapes = [(route.method, parse_pattern(route.path).shape, route) for route in platform.routes]
        for model in platform.models:
            for method, shape, route in shapes:
                owner, where = owners.setdefault((method, shape, model.name), (platform, model.where))
                if owner is not platform:
                    message = f"the model {quote(model.name)} on {quote(route.id)} belongs to {owner.name} already ({where})"
                    hint = f"Remove it from one of the two: /{platform.name}{route.path} reaches this platform in any case."
                    problems.add(message, model.where, hint)
                    break


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
