/* Mock upstream of the benchmarks: HTTP/1.1, one thread, epoll, no dependency.
 *
 *   mock PORT
 *
 * The reply is chosen by the model name in the first 4 KiB of the request body, or in the path:
 *   bm-json            a chat completion of about 600 bytes, with Content-Length
 *   bm-s<N>x<F>x<G>    SSE: N events of about 250 bytes, the first after F microseconds, then one every G microseconds
 *                      (0: at once); every event is one chunk and one send()
 *   bm-echo            the request head as it arrived, as text
 * A stream is in the protocol of the path: chat, but for /v1/messages and ...:streamGenerateContent.
 * Answers carry the marks of marks.h. SIGTERM ends it and prints what was served to standard error. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "marks.h"

enum { MAX_FD = 65536, HEAD_MAX = 32768, PEEK_MAX = 4096, BATCH = 1024 };

enum state { READ_HEAD, READ_BODY, REPLYING };
enum protocol { CHAT, MESSAGES, GENERATE };
enum chunk_state { CHUNK_SIZE, CHUNK_SIZE_REST, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER };

struct conn {
    int fd;
    enum state state;
    /* request */
    char *head;
    size_t head_len;
    char *peek; /* the first bytes of the body */
    size_t peek_len;
    int chunked, close_after;
    enum chunk_state chunk;
    int trailer_line_empty;
    uint64_t left; /* of the body, or of the current chunk */
    uint64_t received;
    /* reply */
    char model[64];
    enum protocol protocol;
    long events, sent_events;
    uint64_t gap_ns, due_ns;
    int heap_at; /* -1: not waiting for a time */
    char *out;   /* what the socket did not take yet */
    size_t out_len, out_sent, out_cap;
};

static struct conn *conns[MAX_FD];
static int epoll_fd;
static uint64_t served_requests, served_events;
static volatile sig_atomic_t stopping;

static const char HEAD_FIELDS[] = "Date: Fri, 20 Nov 2026 10:00:00 GMT\r\nServer: mock\r\n"
                                  "x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
                                  "openai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\nCache-Control: no-cache\r\n";
static const char FILLER[] = "Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et "
                             "dolore magna aliqua Ut enim ad minim veniam quis nostrud exercitation ullamco laboris nisi ut aliquip "
                             "ex ea commodo consequat Duis aute irure dolor in reprehenderit in voluptate velit";

static void *must(void *memory)
{
    if (!memory) {
        perror("mock: memory");
        exit(1);
    }
    return memory;
}

/* --- Streams that wait for their next event: a binary heap by time --- */

static struct conn **heap;
static int heap_len, heap_cap;

static void heap_put(int at, struct conn *c)
{
    heap[at] = c;
    c->heap_at = at;
}

static void heap_swap(int a, int b)
{
    struct conn *c = heap[a];
    heap_put(a, heap[b]);
    heap_put(b, c);
}

static void heap_up(int at)
{
    for (int parent; at > 0 && heap[parent = (at - 1) / 2]->due_ns > heap[at]->due_ns; at = parent)
        heap_swap(parent, at);
}

static void heap_down(int at)
{
    for (;;) {
        int first = at, left = 2 * at + 1, right = left + 1;
        if (left < heap_len && heap[left]->due_ns < heap[first]->due_ns)
            first = left;
        if (right < heap_len && heap[right]->due_ns < heap[first]->due_ns)
            first = right;
        if (first == at)
            return;
        heap_swap(first, at);
        at = first;
    }
}

static void heap_add(struct conn *c)
{
    if (heap_len == heap_cap) {
        heap_cap = heap_cap ? 2 * heap_cap : 1024;
        heap = must(realloc(heap, (size_t)heap_cap * sizeof *heap));
    }
    heap_put(heap_len++, c);
    heap_up(heap_len - 1);
}

static void heap_remove(struct conn *c)
{
    int at = c->heap_at;
    c->heap_at = -1;
    if (at != --heap_len) {
        struct conn *moved = heap[heap_len];
        heap_put(at, moved);
        heap_up(at);
        heap_down(moved->heap_at);
    }
}

/* --- Writing --- */

static void watch(struct conn *c, int op, uint32_t what)
{
    struct epoll_event e = {.events = what, .data.fd = c->fd};
    epoll_ctl(epoll_fd, op, c->fd, &e);
}

static void drop(struct conn *c)
{
    if (c->heap_at >= 0)
        heap_remove(c);
    conns[c->fd] = NULL;
    close(c->fd);
    free(c->head);
    free(c->peek);
    free(c->out);
    free(c);
}

/* Sends at once what the socket takes and keeps the rest. -1: the peer is gone. */
static int put(struct conn *c, const char *data, size_t len)
{
    if (!c->out_len) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
        if (!len)
            return 0;
        watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    if (c->out_len + len > c->out_cap) {
        c->out_cap = 2 * (c->out_len + len);
        c->out = must(realloc(c->out, c->out_cap));
    }
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
    return 0;
}

static int put_rest(struct conn *c)
{
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    c->out_sent += (size_t)n;
    if (c->out_sent == c->out_len) {
        free(c->out);
        c->out = NULL;
        c->out_len = c->out_sent = c->out_cap = 0;
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    }
    return 0;
}

static int put_chunk(struct conn *c, const char *data, int len)
{
    char framed[1200];
    int n = snprintf(framed, sizeof framed, "%x\r\n%.*s\r\n", len, len, data);
    return put(c, framed, (size_t)n);
}

/* --- Replies --- */

static void end_reply(struct conn *c)
{
    c->state = READ_HEAD;
    c->head_len = 0;
    if (c->close_after)
        shutdown(c->fd, SHUT_WR);
}

/* The events of a stream, by protocol; `%s` is the model, then come the time and the text. */
static const char *const EVENT[] = {
    [CHAT] = "data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx\",\"object\":\"chat.completion.chunk\",\"created\":1795168800,"
             "\"model\":\"%s\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@t%llu; %.48s\"},\"finish_reason\":null}]}\n\n",
    [MESSAGES] = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
                 "{\"type\":\"text_delta\",\"text\":\"%.0s@t%llu; %.48s\"}}\n\n",
    [GENERATE] = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%.0s@t%llu; %.48s\"}],\"role\":\"model\"},\"index\":0}],"
                 "\"usageMetadata\":{\"promptTokenCount\":219,\"totalTokenCount\":219},\"modelVersion\":\"bm\","
                 "\"responseId\":\"AbCdEfGhIjKlMnOp\"}\r\n\r\n",
};
static const char *const OPENING[] = {
    [CHAT] = "",
    [MESSAGES] = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01AbCdEf\",\"type\":\"message\","
                 "\"role\":\"assistant\",\"model\":\"bm\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
                 "\"usage\":{\"input_tokens\":219,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: "
                 "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    [GENERATE] = "",
};
static const char *const CLOSING[] = {
    [CHAT] = "data: [DONE]\n\n",
    [MESSAGES] = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: "
                 "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":"
                 "{\"output_tokens\":56}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    [GENERATE] = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"STOP\","
                 "\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":219,\"candidatesTokenCount\":56,\"totalTokenCount\":275},"
                 "\"modelVersion\":\"bm\",\"responseId\":\"AbCdEfGhIjKlMnOp\"}\r\n\r\n",
};

static int put_event(struct conn *c)
{
    char event[1024];
    int n = snprintf(event, sizeof event, EVENT[c->protocol], c->model, (unsigned long long)now_ns(), FILLER);
    served_events++;
    return put_chunk(c, event, n);
}

/* Writes every event that is due, then waits for the next one or ends the stream. -1: the peer is gone. */
static int continue_stream(struct conn *c)
{
    while (c->sent_events < c->events) {
        if (c->due_ns > now_ns()) {
            heap_add(c);
            return 0;
        }
        if (put_event(c) < 0)
            return -1;
        c->sent_events++;
        c->due_ns += c->gap_ns;
    }
    if (put_chunk(c, CLOSING[c->protocol], (int)strlen(CLOSING[c->protocol])) < 0 || put(c, "0\r\n\r\n", 5) < 0)
        return -1;
    end_reply(c);
    return 0;
}

static int start_stream(struct conn *c, long events, unsigned long first_us, unsigned long gap_us)
{
    char head[1024];
    const char *opening = OPENING[c->protocol];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\n%sContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n",
                     HEAD_FIELDS);
    c->events = events;
    c->sent_events = 0;
    c->gap_ns = gap_us * 1000ull;
    c->due_ns = now_ns() + first_us * 1000ull;
    if (put(c, head, (size_t)n) < 0 || (*opening && put_chunk(c, opening, (int)strlen(opening)) < 0))
        return -1;
    return continue_stream(c);
}

static int put_whole(struct conn *c, const char *type, const char *body, size_t len)
{
    char *reply = must(malloc(1024 + len));
    int n = snprintf(reply, 1024, "HTTP/1.1 200 OK\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", HEAD_FIELDS, type, len);
    memcpy(reply + n, body, len);
    int result = put(c, reply, (size_t)n + len);
    free(reply);
    if (result == 0)
        end_reply(c);
    return result;
}

static int put_completion(struct conn *c)
{
    char body[1024];
    int n = snprintf(body, sizeof body,
                     "{\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx\",\"object\":\"chat.completion\",\"created\":1795168800,\"model\":\"%s\","
                     "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"@n%llu; %.250s\",\"refusal\":null,"
                     "\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":219,"
                     "\"completion_tokens\":56,\"total_tokens\":275},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_44709d6fcb\"}",
                     c->model, (unsigned long long)c->received, FILLER);
    return put_whole(c, "application/json", body, (size_t)n);
}

/* The request as it came: its head, and the first bytes of its body. */
static int put_echo(struct conn *c)
{
    size_t len = c->head_len + c->peek_len;
    char *seen = must(malloc(len + 1));
    memcpy(seen, c->head, c->head_len);
    if (c->peek_len)
        memcpy(seen + c->head_len, c->peek, c->peek_len);
    int result = put_whole(c, "text/plain", seen, len);
    free(seen);
    return result;
}

static void find_model(struct conn *c)
{
    char *end = c->peek + c->peek_len, *at = c->peek_len ? memmem(c->peek, c->peek_len, "\"bm-", 4) : NULL;
    size_t n = 0;
    if (!at) {
        end = c->head + c->head_len;
        at = strstr(c->head, "/bm-");
    }
    if (at)
        for (at++; at < end && *at != '"' && *at != ':' && n < sizeof c->model - 1; at++)
            c->model[n++] = *at;
    c->model[n] = 0;
    c->protocol = strstr(c->head, ":streamGenerateContent") ? GENERATE : strstr(c->head, "/v1/messages ") ? MESSAGES : CHAT;
}

static int reply(struct conn *c)
{
    long events;
    unsigned long first_us, gap_us;
    served_requests++;
    c->state = REPLYING;
    find_model(c);
    if (sscanf(c->model, "bm-s%ldx%lux%lu", &events, &first_us, &gap_us) == 3)
        return start_stream(c, events, first_us, gap_us);
    if (!strcmp(c->model, "bm-echo"))
        return put_echo(c);
    return put_completion(c);
}

/* --- Requests --- */

static void take_body(struct conn *c, const char *data, size_t len)
{
    size_t room = PEEK_MAX - c->peek_len;
    if (!c->peek)
        c->peek = must(malloc(PEEK_MAX));
    if (room) {
        size_t n = len < room ? len : room;
        memcpy(c->peek + c->peek_len, data, n);
        c->peek_len += n;
    }
    c->received += len;
}

static int hex_digit(char ch)
{
    return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* One byte of chunk framing. 1: the body is complete. */
static int take_framing(struct conn *c, char ch)
{
    switch (c->chunk) {
    case CHUNK_SIZE:
        if (hex_digit(ch) >= 0) {
            c->left = c->left * 16 + (uint64_t)hex_digit(ch);
            return 0;
        }
        c->chunk = CHUNK_SIZE_REST;
        /* fall through */
    case CHUNK_SIZE_REST:
        if (ch == '\n') {
            c->chunk = c->left ? CHUNK_DATA : CHUNK_TRAILER;
            c->trailer_line_empty = 1;
        }
        return 0;
    case CHUNK_DATA_END:
        if (ch == '\n')
            c->chunk = CHUNK_SIZE;
        return 0;
    default: /* CHUNK_TRAILER */
        if (ch == '\n') {
            if (c->trailer_line_empty)
                return 1;
            c->trailer_line_empty = 1;
        } else if (ch != '\r') {
            c->trailer_line_empty = 0;
        }
        return 0;
    }
}

/* Consumes body bytes; returns how many. `*complete` tells whether the body ended. */
static size_t read_body(struct conn *c, const char *data, size_t len, int *complete)
{
    size_t at = 0;
    *complete = 0;
    while (at < len && !*complete) {
        if (c->chunked && c->chunk != CHUNK_DATA) {
            *complete = take_framing(c, data[at++]);
            continue;
        }
        size_t n = len - at < c->left ? len - at : c->left;
        take_body(c, data + at, n);
        at += n;
        c->left -= n;
        if (!c->left) {
            c->chunk = CHUNK_DATA_END;
            *complete = !c->chunked;
        }
    }
    return at;
}

/* Collects the head; returns how many bytes were consumed, or -1 when it is too long. `*complete` tells whether it ended. */
static ssize_t read_head(struct conn *c, const char *data, size_t len, int *complete)
{
    size_t before = c->head_len, n = len;
    *complete = 0;
    if (!c->head)
        c->head = must(malloc(HEAD_MAX));
    if (n > HEAD_MAX - 1 - before)
        n = HEAD_MAX - 1 - before;
    if (!n)
        return -1;
    memcpy(c->head + before, data, n);
    c->head_len += n;
    char *end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
    if (!end)
        return (ssize_t)n;
    *complete = 1;
    c->head_len = (size_t)(end - c->head) + 4;
    c->head[c->head_len] = 0;
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    c->close_after = strcasestr(c->head, "\r\nconnection: close") != NULL;
    c->left = !c->chunked && length ? strtoull(length + 17, NULL, 10) : 0;
    c->chunk = CHUNK_SIZE;
    c->peek_len = 0;
    c->received = 0;
    return (ssize_t)(c->head_len - before);
}

/* Bytes from a client. -1: drop the connection. */
static int on_data(struct conn *c, const char *data, size_t len)
{
    while (len) {
        int complete;
        ssize_t n;
        if (c->state == REPLYING)
            return -1; /* nobody here pipelines: this is a fault of the sender */
        if (c->state == READ_HEAD) {
            n = read_head(c, data, len, &complete);
            if (n < 0)
                return -1;
            if (complete) {
                complete = !c->chunked && !c->left;
                c->state = READ_BODY;
                if (strcasestr(c->head, "\r\nexpect: 100") && put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0)
                    return -1;
            }
        } else {
            n = (ssize_t)read_body(c, data, len, &complete);
        }
        data += n;
        len -= (size_t)n;
        if (complete && reply(c) < 0)
            return -1;
    }
    return 0;
}

/* --- The loop --- */

static int listen_on(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        fprintf(stderr, "mock: cannot listen on 127.0.0.1:%d: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

static void accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *c = must(calloc(1, sizeof *c));
        c->fd = fd;
        c->heap_at = -1;
        conns[fd] = c;
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void on_ready(struct conn *c, uint32_t what)
{
    static char buffer[1 << 18];
    if (what & EPOLLOUT && c->out_len && put_rest(c) < 0) {
        drop(c);
        return;
    }
    if (what & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0 || on_data(c, buffer, (size_t)n) < 0)
            drop(c);
    }
}

static struct timespec until_next_event(void)
{
    struct timespec wait = {.tv_sec = 1};
    if (heap_len) {
        uint64_t now = now_ns(), ns = heap[0]->due_ns > now ? heap[0]->due_ns - now : 0;
        if (ns < NS_PER_S)
            wait = (struct timespec){.tv_nsec = (long)ns};
    }
    return wait;
}

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    static struct epoll_event ready[BATCH];
    if (argc != 2) {
        fprintf(stderr, "usage: mock PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = listen_on(atoi(argv[1]));
    epoll_fd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    while (!stopping) {
        struct timespec wait = until_next_event();
        int n = epoll_pwait2(epoll_fd, ready, BATCH, &wait, NULL);
        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd == listener)
                accept_all(listener);
            else if (conns[ready[i].data.fd])
                on_ready(conns[ready[i].data.fd], ready[i].events);
        }
        for (uint64_t now = now_ns(); heap_len && heap[0]->due_ns <= now;) {
            struct conn *c = heap[0];
            heap_remove(c);
            if (continue_stream(c) < 0)
                drop(c);
        }
    }
    fprintf(stderr, "{\"requests\": %llu, \"events\": %llu}\n", (unsigned long long)served_requests, (unsigned long long)served_events);
    return 0;
}
