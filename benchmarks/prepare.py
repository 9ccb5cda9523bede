"""Everything the harness makes before it measures: the two C programs, the request bodies, nginx's configuration.

All of it goes to `benchmarks/work/`, which git ignores; nothing here starts a process that stays.
"""

import base64
import json
import random
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = HERE / "work"
LOAD = WORK / "load"
MOCK = WORK / "mock"
LOGS = WORK / "logs"
BENCH_KEY = "sk-test-bench"

REQUEST_BYTES = 1024
UPLOAD_BYTES = 20 * 1024 * 1024

# What is asked for, and the model name by which the mock knows what to answer (see c/mock.c).
BODIES = {
    "json": "bm-json",
    "echo": "bm-echo",
    "burst": "bm-s64x0x0",
    "paced": "bm-s64x5000x20000",
    "endless": "bm-s1000000x0x1000000",
}
EVENTS_PER_STREAM = 64

NGINX = """\
worker_processes 1;
daemon off;
error_log {work}/logs/nginx-error.log warn;
pid {work}/nginx/nginx.pid;
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; multi_accept on; }}
http {{
  access_log off;
  client_max_body_size 64m;
  keepalive_requests 10000000;
  keepalive_timeout 600s;
  tcp_nodelay on;
  client_body_temp_path {work}/nginx/body;
  proxy_temp_path {work}/nginx/proxy;
  fastcgi_temp_path {work}/nginx/fastcgi;
  uwsgi_temp_path {work}/nginx/uwsgi;
  scgi_temp_path {work}/nginx/scgi;
  upstream mock {{ server 127.0.0.1:{mock_port}; keepalive 512; keepalive_requests 10000000; keepalive_timeout 600s; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {key}";
      proxy_set_header ModelName bm;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 3600s;
    }}
  }}
}}
"""


def body_path(name: str) -> Path:
    return WORK / "bodies" / f"{name}.json"


def chat_request(model: str) -> bytes:
    """A chat request of exactly REQUEST_BYTES bytes, without blanks, as client libraries write it.

    What the edited and the template targets change stands in front, where the mock's echo shows it.
    """
    question = {"role": "user", "content": ""}
    request = {
        "model": model,
        "temperature": 0.7,
        "max_tokens": 256,
        "stream": model.startswith("bm-s"),
        "messages": [{"role": "system", "content": "You are a helpful assistant."}, question],
    }
    text = "Explain the difference between a process and a thread. " * 40
    question["content"] = text[: REQUEST_BYTES - len(_compact(request))]
    return _compact(request)


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def upload_request() -> bytes:
    """A chat request with a picture of 15 MiB in base64, which makes 20 MiB of JSON; the same bytes every time."""
    picture = base64.b64encode(random.Random(1).randbytes(UPLOAD_BYTES * 3 // 4)).decode()
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + picture}},
    ]
    messages = [{"role": "user", "content": content}]
    return _compact({"model": "bm-json", "messages": messages, "max_tokens": 256, "stream": False})


def write_body(name: str) -> None:
    body_path(name).parent.mkdir(parents=True, exist_ok=True)
    body_path(name).write_bytes(chat_request(BODIES[name]))


def write_bodies() -> None:
    for name in BODIES:
        write_body(name)
    if not body_path("upload").exists():
        body_path("upload").write_bytes(upload_request())


def compile_programs() -> None:
    """Compiles load and mock when they are older than their sources. Raises RuntimeError with the compiler's words."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("cc is not on PATH; the load generator and the mock are C programs: install a C compiler")
    WORK.mkdir(parents=True, exist_ok=True)
    newest = max(source.stat().st_mtime for source in (HERE / "c").iterdir())
    for program in (LOAD, MOCK):
        if program.exists() and program.stat().st_mtime >= newest:
            continue
        source = HERE / "c" / f"{program.name}.c"
        done = subprocess.run([compiler, "-O2", "-o", program, source, "-lm"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{source} does not compile:\n{done.stderr}")


def write_nginx_conf(port: int, mock_port: int, files: int) -> Path:
    """`files`: how many file descriptors nginx may open."""
    folder = WORK / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    values = {"work": WORK, "files": files, "connections": files - 50, "port": port, "mock_port": mock_port, "key": BENCH_KEY}
    path.write_text(NGINX.format(**values))
    return path


def prepare() -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    compile_programs()
    write_bodies()
