"""The rule files that come with the program: they load, they agree, and every known path of a relay reaches it.

The families of the relays are listed here by hand from their documentation, so that a slip in a rule file cannot hide.
"""

from pathlib import Path

import pytest

from translators.load import load, shipped_rules
from translators.model import AuthKind, Platform, Protocol, Route, RuleSet
from translators.models import ModelTable
from translators.paths import PathTable
from translators.report import rows

CARRIED = ["anthropic", "deepseek", "ecovai", "foai", "gemini", "kimi", "openai"]
MAPPED = ["haoee", "kling", "metaso", "midjourney", "minimax", "qwen", "spark", "suno", "volc-visual", "zhipu"]
NAMES = sorted([*CARRIED, *MAPPED])


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load([shipped_rules()])


def reach(rules: RuleSet, method: str, path: str) -> tuple[str, str, dict[str, str]]:
    """`(upstream URL, route or native, variables)` of a path with prefix, by the plainest reading of a rule set."""
    _, name, rest = path.split("/", 2)
    platform = rules.platforms[name]
    upstream = platform.upstream
    url = f"{upstream.scheme}://{upstream.authority}{upstream.base}/{rest}"
    table = PathTable.build((route.method, route.path, route) for route in platform.routes)
    if found := table.match(method, "/" + rest.partition("?")[0]):
        return url, found[0].id, dict(found[1])
    assert platform.native
    return url, "native", {}


def owners(rules: RuleSet, method: str, path: str, model: str) -> str | None:
    """The platform of a path without prefix, by its model."""
    names = []
    for platform in rules.platforms.values():
        if PathTable.build((route.method, route.path, route) for route in platform.routes).match(method, path):
            names += [(rule.name, platform.name) for rule in platform.models]
    return ModelTable.build(names).match(model)


def test_every_shipped_rule_file_loads(rules: RuleSet) -> None:
    assert list(rules.platforms) == NAMES
    assert {file.stem for file in shipped_rules().glob("*.yaml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_file_says_what_is_confirmed_and_where_an_sdk_points(name: str) -> None:
    text = (shipped_rules() / f"{name}.yaml").read_text(encoding="utf-8")
    assert "Confirmed" in text
    assert "base_url" in text or "--upstream" in text
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("data:")]  # an event is one line
    assert not [line for line in lines if line.endswith(" ") or len(line) > 140]


def test_the_shipped_rules_stand_beside_the_package() -> None:
    assert shipped_rules() == Path(__file__).resolve().parents[2] / "rules"


@pytest.mark.parametrize(
    ("name", "origin", "kind", "header", "secrets"),
    [
        ("openai", "https://api.openai.com", AuthKind.BEARER, "Authorization", {"OPENAI_API_KEY"}),
        ("deepseek", "https://api.deepseek.com", AuthKind.BEARER, "Authorization", {"DEEPSEEK_API_KEY"}),
        ("kimi", "https://api.moonshot.cn", AuthKind.BEARER, "Authorization", {"MOONSHOT_API_KEY"}),
        ("anthropic", "https://api.anthropic.com", AuthKind.HEADER, "x-api-key", {"ANTHROPIC_API_KEY"}),
        ("gemini", "https://generativelanguage.googleapis.com", AuthKind.HEADER, "x-goog-api-key", {"GEMINI_API_KEY"}),
        ("haoee", "https://maas.haoee.com", AuthKind.BEARER, "Authorization", {"HAOEE_API_KEY"}),
        ("ecovai", "https://api.ecovai.cn", AuthKind.BEARER, "Authorization", {"ECOVAI_API_KEY"}),
        ("foai", "http://localhost/chatgpt", AuthKind.BEARER, "Authorization", {"FOAI_LICENCE"}),
    ],
)
def test_origins_and_credentials(rules: RuleSet, name: str, origin: str, kind: AuthKind, header: str, secrets: set[str]) -> None:
    platform = rules.platforms[name]
    assert f"{platform.upstream.scheme}://{platform.upstream.authority}{platform.upstream.base}" == origin
    assert (platform.auth.kind, platform.auth.header) == (kind, header)
    assert platform.secrets == secrets
    assert not platform.upstream.insecure


def test_only_the_relay_that_asks_for_it_gets_the_model_in_a_header(rules: RuleSet) -> None:
    with_headers = {name: platform.headers for name, platform in rules.platforms.items() if platform.headers}
    assert list(with_headers) == ["haoee"]
    (header,) = with_headers["haoee"]
    assert header.name == "ModelName"
    assert header.value.render({}, "kling-video-v2-6") == "kling-video-v2-6"
    assert header.value.render({}, None) is None


def test_no_rule_invents_a_header_of_the_client(rules: RuleSet) -> None:
    for platform in rules.platforms.values():
        assert not {header.name.lower() for header in platform.headers} & {
            "anthropic-version",
            "user-agent",
            "accept",
            "content-type",
        }


def calls(text: str) -> list[str]:
    """`METHOD path` of every line that is no comment."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


# --- what the official clients call ---

OPENAI = calls("""
    POST /v1/chat/completions
    GET /v1/chat/completions
    GET /v1/chat/completions/c1
    POST /v1/chat/completions/c1
    DELETE /v1/chat/completions/c1
    GET /v1/chat/completions/c1/messages
    POST /v1/completions
    POST /v1/responses
    GET /v1/responses/r1
    DELETE /v1/responses/r1
    POST /v1/responses/r1/cancel
    POST /v1/responses/compact
    POST /v1/responses/input_tokens
    GET /v1/responses/r1/input_items
    POST /v1/embeddings
    POST /v1/images/generations
    POST /v1/images/edits
    POST /v1/images/variations
    POST /v1/videos
    GET /v1/videos
    GET /v1/videos/v1
    DELETE /v1/videos/v1
    GET /v1/videos/v1/content
    POST /v1/videos/v1/remix
    POST /v1/videos/characters
    GET /v1/videos/characters/c1
    POST /v1/videos/edits
    POST /v1/videos/extensions
    POST /v1/audio/speech
    POST /v1/audio/transcriptions
    POST /v1/audio/translations
    GET /v1/models
    GET /v1/models/ft:gpt-4o:org%2Fx
    DELETE /v1/models/ft:gpt-4o:org%2Fx
    POST /v1/moderations
    POST /v1/files
    GET /v1/files
    GET /v1/files/f1
    DELETE /v1/files/f1
    GET /v1/files/f1/content
    POST /v1/uploads
    POST /v1/uploads/u1/parts
    POST /v1/uploads/u1/complete
    POST /v1/uploads/u1/cancel
    POST /v1/batches
    GET /v1/batches
    GET /v1/batches/b1
    POST /v1/batches/b1/cancel
""")
DEEPSEEK = calls("""
    POST /v1/chat/completions
    POST /chat/completions
    POST /beta/chat/completions
    POST /beta/completions
    GET /models
    GET /v1/models
    GET /user/balance
    POST /anthropic/v1/messages
""")
KIMI = calls("""
    POST /v1/chat/completions
    GET /v1/models
    POST /v1/files
    GET /v1/files
    GET /v1/files/f1
    DELETE /v1/files/f1
    GET /v1/files/f1/content
    POST /v1/tokenizers/estimate-token-count
    GET /v1/users/me/balance
""")
ANTHROPIC = calls("""
    POST /v1/messages
    POST /v1/messages/count_tokens
    GET /v1/models
    GET /v1/models/claude-opus-5-5
    POST /v1/messages/batches
    GET /v1/messages/batches
    GET /v1/messages/batches/b1
    GET /v1/messages/batches/b1/results
    POST /v1/messages/batches/b1/cancel
""")
GEMINI_METHODS = [
    "generateContent",
    "streamGenerateContent",
    "countTokens",
    "embedContent",
    "batchEmbedContents",
    "predict",
    "predictLongRunning",
]
GEMINI = [
    call
    for version in ("v1beta", "v1")
    for call in (
        *(f"POST /{version}/models/gemini-3.5-flash:{method}" for method in GEMINI_METHODS),
        f"GET /{version}/models/m/operations/o1",
        f"GET /{version}/models",
        f"GET /{version}/models/gemini-3.5-flash",
    )
]
FOAI = calls("""
    POST /v1/chat/completions
    POST /v1/images/generations?async=true
    POST /v1/images/edits
    GET /v1/images/t1
    POST /v1/videos
    POST /v1/videos/t1/remix
    GET /v1/videos/t1?detail=true
    GET /v1/videos/t1/content
""")
CALLS = {"openai": OPENAI, "deepseek": DEEPSEEK, "kimi": KIMI, "anthropic": ANTHROPIC, "gemini": GEMINI, "foai": FOAI}


@pytest.mark.parametrize(("name", "call"), [(name, call) for name, calls in CALLS.items() for call in calls])
def test_every_documented_call_of_a_provider_is_a_route(rules: RuleSet, name: str, call: str) -> None:
    method, path = call.split(" ")
    upstream = rules.platforms[name].upstream
    url, route, _ = reach(rules, method, f"/{name}{path}")
    assert url == f"{upstream.scheme}://{upstream.authority}{upstream.base}{path}"
    assert route.startswith(f"{method} /")


@pytest.mark.parametrize(
    "path", ["upload/v1beta/files", "v1beta/files/f1", "v1beta/cachedContents", "v1beta/models/m%3AgenerateContent"]
)
def test_what_a_provider_has_besides_goes_natively(rules: RuleSet, path: str) -> None:
    assert reach(rules, "POST", f"/gemini/{path}")[:2] == (f"https://generativelanguage.googleapis.com/{path}", "native")


def test_the_model_stands_in_the_path_of_generate_calls(rules: RuleSet) -> None:
    for name in ("gemini", "haoee"):
        for method in ("generateContent", "streamGenerateContent"):
            assert reach(rules, "POST", f"/{name}/v1beta/models/nano-banana-2:{method}")[2] == {"model": "nano-banana-2"}


def protocol(platform: Platform, route_id: str) -> Protocol:
    return next(route.protocol for route in platform.routes if route.id == route_id)


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "deepseek", "kimi"])
@pytest.mark.parametrize(
    "route",
    [
        "POST /v1/chat/completions",
        "POST /v1/completions",
        "POST /v1/responses",
        "POST /v1/messages",
        *(
            f"POST /{version}/models/{{model}}:{action}"
            for version in ("v1", "v1beta")
            for action in ("generateContent", "streamGenerateContent")
        ),
    ],
)
def test_a_chat_platform_serves_clients_of_every_protocol(rules: RuleSet, name: str, route: str) -> None:
    assert route in {found.id for found in rules.platforms[name].routes}


def test_protocols_of_routes(rules: RuleSet) -> None:

    def own(route: Route) -> bool:
        handling = route.handling
        return handling is None or (handling.translation is None and (handling.listing is None or not handling.listing.brought))

    found = {name: {route.protocol for route in platform.routes if own(route)} for name, platform in rules.platforms.items()}
    assert found["anthropic"] == {Protocol.MESSAGES}
    assert found["gemini"] == {Protocol.GENERATE, Protocol.CHAT}  # pictures are asked for in the words of the unified API
    assert found["kimi"] == found["ecovai"] == found["foai"] == {Protocol.CHAT}
    assert found["openai"] == {Protocol.CHAT, Protocol.RESPONSES}
    assert protocol(rules.platforms["openai"], "GET /v1/responses/{response_id}") is Protocol.RESPONSES
    assert protocol(rules.platforms["deepseek"], "POST /anthropic/v1/messages") is Protocol.MESSAGES
    assert protocol(rules.platforms["haoee"], "POST /api/v2/openai/responses") is Protocol.RESPONSES
    assert protocol(rules.platforms["haoee"], "POST /v1beta/models/{model}:generateContent") is Protocol.GENERATE


# --- the relays: every family of their navigation ---

HAOEE = calls("""
    # chat, responses, completions
    POST /v1/chat/completions
    POST /v1/responses
    POST /api/v2/openai/responses
    POST /v1/completions
    GET /v1/models/
    # pictures
    POST /v1beta/models/nano-banana-2:generateContent
    POST /v1/images/generations
    POST /v1/images/edits
    POST /v1/images/generations?async=true&webhook=https://example.com/hook
    POST /v1/images/edits?async=true
    GET /v1/images/tasks/t1
    POST /api/v3/images/generations
    POST /v1/draw/completions
    # videos
    POST /v1/videos
    GET /v1/videos/t1
    GET /v1/videos/t1/content
    POST /v1/videos/t1/remix
    POST /v2/videos/generations
    GET /v2/videos/generations/t1
    POST /v1/video/create
    GET /v1/video/query?id=sora-2:task_01
    POST /v1/videos/generations
    GET /v1/tasks/t1
    POST /sora/v1/characters
    # kling
    POST /kling/v1/videos/text2video
    GET /kling/v1/videos/text2video/t1
    POST /kling/v1/videos/image2video
    GET /kling/v1/videos/image2video/t1
    POST /kling/v1/videos/omni-video
    GET /kling/v1/videos/omni-video/t1
    GET /kling/v1/images/omni-image/t1
    POST /kling/v1/videos/video-extend
    GET /kling/v1/videos/video-extend/t1
    POST /kling/v1/videos/multi-image2video
    POST /kling/v1/videos/lip-sync
    POST /kling/v1/videos/effects
    POST /kling/v1/images/multi-image2image
    POST /kling/v1/images/editing/expand
    POST /kling/v1/audio/text-to-audio
    POST /kling/v1/audio/video-to-audio
    POST /kling/v1/general/custom-elements
    GET /kling/v1/general/custom-elements
    GET /kling/v1/general/presets-elements
    POST /v1/videos/text2video
    POST /v1/videos/omni-video
    # hailuo, three generations
    POST /minimax/v1/video_generation
    GET /minimax/v1/query/video_generation?task_id=t1
    GET /minimax/v1/files/retrieve?file_id=f1
    POST /api/v2/hailuo/v1/video_generation
    GET /api/v2/get_task/t1
    POST /v1/video_generation
    GET /v1/query/video_generation?task_id=t1
    POST /v2/video_generation/
    # suno
    POST /suno/submit/music
    POST /suno/submit/lyrics
    POST /suno/submit/concat
    GET /suno/fetch/t1
    POST /suno/fetch
    POST /suno/generate
    POST /suno/generate/description-mode
    POST /suno/generate/lyrics/
    POST /suno/generate/concat
    GET /suno/feed/c1,c2
    GET /suno/lyrics/l1
    POST /suno/uploads/audio
    POST /suno/uploads/audio/u1/upload-finish
    GET /suno/uploads/audio/u1
    POST /suno/uploads/audio/u1/initialize-clip
    POST /suno/uploads/audio-url
    POST /suno/persona/create/
    POST /suno/act/tags
    GET /suno/act/timing/c1
    GET /suno/act/wav/c1
    GET /suno/act/mp4/c1
    GET /suno/act/midi/c1
    # midjourney
    POST /mj/submit/imagine
    POST /mj/submit/action
    POST /mj/task/list-by-condition
    GET /mj/task/t1/fetch
    POST /mj-fast/mj/submit/action
    # volcengine, ark, dashscope, vidu, fal, bfl, jimeng
    POST /volcv/v1
    POST /volcv/v1?Action=CVProcess&Version=2022-08-31
    POST /volcv/v1?Action=CVSync2AsyncSubmitTask&Version=2022-08-31
    POST /volcv/v1?Action=CVSync2AsyncGetResult&Version=2022-08-31
    POST /volc/v1/contents/generations/tasks
    GET /volc/v1/contents/generations/tasks/t1
    POST /api/v3/contents/generations/tasks
    GET /api/v3/contents/generations/tasks/t1
    POST /api/v1/services/aigc/video-generation/video-synthesis
    GET /api/v1/tasks/t1
    POST /api/v1/services/aigc/multimodal-generation/generation
    POST /compatible-mode/v1/embeddings
    POST /compatible-api/v1/reranks
    POST /ent/v2/img2video
    GET /ent/v2/tasks/t1/creations
    POST /fal-ai/flux-1/dev
    POST /fal-ai/flux-1/dev/image-to-image
    POST /fal-ai/flux-1/dev/redux
    POST /fal-ai/flux-1/schnell/redux
    POST /fal-ai/flux-pro/kontext
    POST /fal-ai/flux-pro/kontext/max
    POST /fal-ai/flux-pro/kontext/max/multi
    POST /fal-ai/flux-pro/kontext/multi
    POST /fal-ai/flux-pro/kontext/max/text-to-image
    GET /fal-ai/flux-pro/requests/r1
    POST /bfl/v1/flux-pro-1.1
    GET /bfl/v1/get_result?id=r1
    POST /jimeng/submit/videos
    GET /jimeng/fetch/t1
""")
ECOVAI = calls("""
    POST /v1/chat/completions
    POST /v1/images/generations
    GET /v1/models
    POST /v1/completions
    POST /v1/audio/transcriptions
    POST /v1/audio/translations
    POST /v1/audio/speech
    POST /v1/embeddings
    POST /suno/submit/music
    GET /suno/fetch/t1
    POST /mj/submit/imagine
    GET /mj/task/t1/fetch
    POST /flux/v1/flux-pro-1.1
    GET /flux/v1/get_result?id=t1
    POST /recraft/v1/images/generations
    POST /recraftv3/api/v1/images/generations
    POST /ideogram/generate
    POST /ideogram/remix
    GET /luma/v1/task?id=t1
    POST /luma/generations/
    GET /luma/generations/t1
    POST /luma/generations/t1/extend
    GET /luma/generations/t1/download_video_url
    POST /pro/luma/generations/
    POST /runway/pro/generate
    POST /runway/tasks
    GET /runway/tasks/t1
    POST /runwayml/v1/image_to_video
    GET /runwayml/v1/tasks/t1
    POST /kling/v1/videos/text2video
    GET /kling/v1/videos/text2video/t1
    POST /kling/v1/images/generations
""")
RELAYS = {"haoee": ("https://maas.haoee.com", HAOEE), "ecovai": ("https://api.ecovai.cn", ECOVAI)}


@pytest.mark.parametrize(("name", "call"), [(name, call) for name, (_, calls) in RELAYS.items() for call in calls])
def test_every_family_of_a_relay_is_reached_under_its_own_path(rules: RuleSet, name: str, call: str) -> None:
    method, path = call.split(" ")
    assert reach(rules, method, f"/{name}{path}")[0] == RELAYS[name][0] + path


# --- without prefix ---


@pytest.mark.parametrize(
    ("call", "model", "platform"),
    [
        ("POST /v1/chat/completions", "gpt-4o", "openai"),
        ("POST /v1/chat/completions", "o3-mini", "openai"),
        ("POST /v1/chat/completions", "deepseek-v4-pro", "deepseek"),
        ("POST /v1/chat/completions", "kimi-k2.6", "kimi"),
        ("POST /v1/chat/completions", "moonshot-v1-8k", "kimi"),
        ("POST /v1/chat/completions", "gpt-4o-all", "ecovai"),
        ("POST /v1/chat/completions", "deepseek2.5", "ecovai"),
        ("POST /v1/chat/completions", "kimi", "ecovai"),
        ("POST /v1/chat/completions", "gpt-4o-image-vip", "haoee"),
        ("POST /v1/chat/completions", "gpt-4-gizmo-g-abc", "haoee"),
        ("POST /v1/chat/completions", "claude-opus-5-5", "anthropic"),  # translated
        ("POST /v1/responses", "gemini-3.5-flash", "gemini"),
        ("POST /v1/messages", "kimi-k2.6", "kimi"),
        ("POST /v1beta/models/x:generateContent", "deepseek-chat", "deepseek"),
        ("POST /v1/responses", "gpt-4.1", "openai"),
        ("POST /v1/embeddings", "text-embedding-3-small", "openai"),
        ("POST /v1/images/generations", "gpt-image-1.5", "openai"),
        ("POST /v1/images/generations", "nano-banana-2", "haoee"),
        ("POST /v1/videos", "sora-2-pro", "openai"),
        ("POST /v1/messages", "claude-opus-5-5", "anthropic"),
        ("POST /v1/messages", "gpt-4o", "openai"),
        ("POST /v1beta/models/x:generateContent", "gemini-3.5-flash", "gemini"),
        ("POST /v1/models/x:generateContent", "gemini-3.5-flash", "gemini"),
        ("POST /v1beta/models/x:generateContent", "nano-banana-2", "haoee"),
        ("POST /v1/chat/completions", "unheard-of", None),
    ],
)
def test_without_prefix_the_model_decides(rules: RuleSet, call: str, model: str, platform: str | None) -> None:
    method, path = call.split(" ")
    assert owners(rules, method, path, model) == platform


def test_the_table_of_routes_lists_every_platform(rules: RuleSet) -> None:
    found = rows(rules)
    assert [row.platform for row in found if row.path.endswith("/*")] == NAMES
    assert {row.platform for row in found} == set(NAMES)
