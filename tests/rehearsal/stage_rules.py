"""A small rule set for the tests of this room: one platform that does a little of everything."""

from pathlib import Path

from translators.load import load
from translators.model import RuleSet

MAKER = """\
platform: maker
title: A platform for the tests
upstream: https://api.maker.example/base
auth: {bearer: "${secret.MAKER_KEY}"}
models: [m-1, "m-*"]
fetch: {hosts: ["*.example.com"], types: [image/*]}

errors:
  when: ${body.code && body.code != `0`}
  status: {7: 429}
  code: ${body.code}
  message: ${body.said}

tasks:
  video:
    id: ${body.job}
    poll: GET /jobs/${id}
    status: ${body.state}
    states: {new: queued, busy: in_progress, good: completed, bad: failed}
    result: ${body.url}

routes:
  POST /v1/chat/completions:
    edit:
      - rename: {max_completion_tokens: max_tokens}
    stream:
      events:
        - when: ${data == '[DONE]'}
          drop: true
        - send: {text: "${data.t}"}
  GET /v1/models: carry
  POST /v1/videos:
    task: video
    choose:
      - when: ${length(refs) == `1`}
        media: {refs: base64}
        send: POST /jobs
        body: {picture: "${refs[0]}", words: "${body.prompt}", tag: "${uuid()}", at: "${now()}"}
      - when: ${length(refs) == `0`}
        send: POST /jobs
        body: {words: "${body.prompt}"}
      - refuse: At most one picture
"""

EXAMPLES = """
examples:
  - title: chat
    client: {send: POST /maker/v1/chat/completions, json: {model: m-1, max_completion_tokens: 5}}
    upstream:
      send: POST /v1/chat/completions
      headers: {Host: api.maker.example, Authorization: Bearer test-MAKER_KEY}
      json: {model: m-1, max_tokens: 5}
    answer: {status: 200, json: {id: c1}}
    result: same
  - title: a stream
    client: {send: POST /maker/v1/chat/completions, json: {model: m-1, stream: true}}
    upstream: {send: POST /v1/chat/completions, json: {model: m-1, stream: true}}
    answer:
      sse: |
        data: {"t":"a"}

        data: [DONE]
    result:
      sse: |
        data: {"text":"a"}
  - title: one picture
    client: {send: POST /maker/v1/videos, json: {model: m-1, prompt: Hi, image: "https://cdn.example.com/a.png"}}
    upstream:
      send: POST /jobs
      json: {picture: iVBORw0KGgo=, words: Hi, tag: 0123456789abcdef0123456789abcdef, at: 1760000000, "...": any}
    answer: {status: 200, json: {code: 0, job: "77", state: new}}
    fetches: {"https://cdn.example.com/a.png": {type: image/png, base64: iVBORw0KGgo=}}
    result: {status: 200, json: {id: any, object: video, status: queued, "...": any}}
  - title: words only
    client: {send: POST /maker/v1/videos, json: {model: m-1, prompt: Hi}}
    upstream: {send: POST /jobs, json: {words: Hi, "...": any}}
    answer: {status: 200, json: {code: 0, job: "78", state: new}}
    result: {status: 200, json: {status: queued, "...": any}}
  - title: too fast
    client: {send: POST /maker/v1/videos, json: {model: m-1, prompt: Hi}}
    upstream: {send: POST /jobs, json: {words: Hi, "...": any}}
    answer: {status: 200, json: {code: 7, said: slowly}}
    result: {status: 429, json: {error: {message: slowly, code: "7", "...": any}}}
  - title: too many
    client:
      send: POST /maker/v1/videos
      json: {model: m-1, prompt: Hi, image: ["https://cdn.example.com/a.png", "https://cdn.example.com/b.png"]}
    result: {status: 400, json: {error: {message: At most one picture, "...": any}}}
  - title: it waits
    client: {send: "POST /maker/v1/videos?async=false", json: {model: m-1, prompt: Hi}}
    calls:
      - {upstream: {send: POST /jobs, json: {words: Hi, "...": any}}, answer: {json: {code: 0, job: "79", state: new}}}
      - {upstream: {send: GET /jobs/79}, answer: {json: {code: 0, state: busy}}}
      - {upstream: {send: GET /jobs/79}, answer: {json: {code: 0, state: good, url: "https://cdn.example.com/v.mp4"}}}
    result: {status: 200, json: {status: completed, progress: 100, "...": any}}
  - title: a poll
    after: words only
    client: {send: "GET /maker/v1/videos/${id}"}
    upstream: {send: GET /jobs/78}
    answer: {status: 200, json: {code: 0, state: busy}}
    result: {status: 200, json: {status: in_progress, progress: 50, "...": any}}
  - title: the video
    after: words only
    client: {send: "GET /maker/v1/videos/${id}/content"}
    upstream: {send: GET /jobs/78}
    answer: {status: 200, json: {code: 0, state: good, url: "https://cdn.example.com/v.mp4"}}
    fetches: {"https://cdn.example.com/v.mp4": {type: video/mp4, base64: AAAAGGZ0eXA=}}
    result: {status: 200, headers: {Content-Type: video/mp4}, base64: AAAAGGZ0eXA=}
  - title: the models
    client: {send: GET /maker/v1/models}
    answer: {status: 200, json: {data: []}}
    result: same
"""


def rules_in(directory: Path, text: str = MAKER + EXAMPLES) -> RuleSet:
    """The rule set of a directory that gets this file."""
    (directory / "maker.yaml").write_text(text)
    return load([directory])
