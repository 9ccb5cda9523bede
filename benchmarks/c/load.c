/* HTTP/1.1 load generator of the benchmarks, for JSON and SSE answers: one thread, epoll, no dependency.
 *
 *   load -p PORT -u TARGET -b BODY_FILE [-h "Name: value"]... [-c connections] [-w warm-up s] [-d measured s]
 *        [-r requests/s] [-R new connections/s] [-e events per answer] [-s] [-k]
 *
 *   -r  open loop: requests are due at fixed times, whether or not earlier ones were answered; a latency counts from the time a
 *       request was due. Without it (closed loop) each connection sends its next request when the answer is complete.
 *   -R  opens the connections one after another at this rate; the warm-up begins when the last one is due.
 *   -e  a complete answer must hold this many events; without it, it must say that the whole body arrived (see marks.h).
 *   -s  counts the TCP segments with data that arrived: what the peer wrote separately, whatever one read here merges.
 *   -k  keeps the connections open after the measurement until standard input ends, so that memory can be looked at.
 *
 * Standard output: a line "start" and a line "stop" around the measured time, then one JSON object. Latencies are microseconds.
 * `errors` (connections that failed or broke framing) and `wrong` (complete answers with the wrong content) and `answers` (status
 * codes) count from the first request to the last, the warm-up included; everything else counts the measured time only. */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/tcp.h> /* not <netinet/tcp.h>: glibc's tcp_info is too old to have tcpi_data_segs_in */
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "marks.h"

enum { BATCH = 1024, HEAD_MAX = 8192, MAX_STATUS = 600, READ_MAX = 1 << 18 };

/* --- Histogram: 512 steps per power of two, so a value is known to 0.2 % --- */

enum { STEPS = 512, STEP_BITS = 9, POWERS = 44 };

struct histogram {
    uint64_t count[POWERS * STEPS], n, max;
    double sum;
};

static void record(struct histogram *h, uint64_t ns)
{
    int power = ns < STEPS ? 0 : 63 - __builtin_clzll(ns) - STEP_BITS + 1;
    int step = (int)(power ? (ns >> (power - 1)) - STEPS : ns);
    int at = power * STEPS + step;
    if (at >= POWERS * STEPS)
        at = POWERS * STEPS - 1;
    h->count[at]++;
    h->n++;
    h->sum += (double)ns;
    if (ns > h->max)
        h->max = ns;
}

static double quantile_us(const struct histogram *h, double q)
{
    uint64_t rank = (uint64_t)ceil(q * (double)h->n), seen = 0;
    for (int at = 0; at < POWERS * STEPS; at++) {
        int power = at / STEPS, step = at % STEPS;
        seen += h->count[at];
        if (seen >= rank && seen)
            return (power ? ldexp(STEPS + step + 0.5, power - 1) : step) / 1e3;
    }
    return (double)h->max / 1e3;
}

static void print_histogram(const char *name, const struct histogram *h)
{
    if (!h->n) {
        printf(", \"%s\": null", name);
        return;
    }
    printf(", \"%s\": {\"n\": %llu, \"mean\": %.1f, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}", name,
           (unsigned long long)h->n, h->sum / (double)h->n / 1e3, quantile_us(h, 0.5), quantile_us(h, 0.9), quantile_us(h, 0.99),
           quantile_us(h, 0.999), (double)h->max / 1e3);
}

/* --- State --- */

enum state { CLOSED, CONNECTING, SENDING, HEAD, BODY, IDLE };
enum chunk_state { CHUNK_SIZE, CHUNK_SIZE_REST, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER };
enum mark_state { MARK_NONE, MARK_KIND, MARK_DIGITS };

struct conn {
    int fd;
    enum state state;
    int watches_out;
    size_t sent;
    uint64_t sent_ns; /* when the request began to go out */
    uint64_t due_ns;  /* when it should have: differs in an open loop */
    uint32_t segments_before;
    /* answer */
    char head[HEAD_MAX];
    size_t head_len;
    int status, chunked, close_after, trailer_line_empty;
    enum chunk_state chunk;
    uint64_t left; /* of the body, or of the current chunk */
    long events;
    uint64_t size_seen;
    enum mark_state mark;
    char mark_kind;
    uint64_t mark_value;
};

static struct {
    int port, connections, count_segments, hold;
    const char *target, *body_file;
    double seconds, warm_up, rate, ramp;
    long events;
    char fields[4096];
} options = {.target = "/", .connections = 1, .seconds = 3, .warm_up = 0.5, .events = -1};

static int epoll_fd, measuring;
static struct sockaddr_in address;
static char *request;
static size_t request_len, body_len;
static struct conn **all, **idle;
static int opened, idle_len;
static uint64_t next_due_ns;

static struct histogram latency, first_event, event_latency;
static uint64_t requests, events, event_reads, body_bytes, segments; /* measured time */
static uint64_t started, completed, errors, wrong, reconnects, answers[MAX_STATUS]; /* whole run */
static char first_error[200], first_refusal[400];

static void note_error(const char *what, int number)
{
    errors++;
    if (!first_error[0])
        snprintf(first_error, sizeof first_error, "%s%s%s", what, number ? ": " : "", number ? strerror(number) : "");
}

static void *must(void *memory)
{
    if (!memory) {
        perror("load: memory");
        exit(1);
    }
    return memory;
}

/* --- Connections --- */

static void watch_out(struct conn *c, int yes)
{
    if (c->watches_out == yes)
        return;
    struct epoll_event e = {.events = EPOLLIN | (yes ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->watches_out = yes;
}

static uint32_t segments_in(const struct conn *c)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (c->state == CLOSED || getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len))
        return 0;
    return info.tcpi_data_segs_in;
}

static void count_segments(int begin)
{
    for (int i = 0; options.count_segments && i < opened; i++) {
        if (begin)
            all[i]->segments_before = segments_in(all[i]);
        else
            segments += segments_in(all[i]) - all[i]->segments_before;
    }
}

static void open_connection(struct conn *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        note_error("socket", errno);
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        note_error("connect", errno);
        close(c->fd);
        return;
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
    c->state = CONNECTING;
    c->watches_out = 1;
    c->segments_before = 0;
}

static void reopen(struct conn *c)
{
    if (measuring && options.count_segments)
        segments += segments_in(c) - c->segments_before;
    close(c->fd);
    c->state = CLOSED;
    reconnects++;
    open_connection(c);
}

static void fail(struct conn *c, const char *what, int number)
{
    note_error(what, number);
    reopen(c);
}

/* --- Requests --- */

static void send_some(struct conn *c)
{
    while (c->sent < request_len) {
        ssize_t n = send(c->fd, request + c->sent, request_len - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN)
                watch_out(c, 1);
            else
                fail(c, "send", errno);
            return;
        }
        c->sent += (size_t)n;
    }
    watch_out(c, 0);
    c->state = HEAD;
}

static void start_request(struct conn *c, uint64_t due_ns)
{
    started++;
    c->state = SENDING;
    c->sent = c->head_len = 0;
    c->events = 0;
    c->size_seen = 0;
    c->mark = MARK_NONE;
    c->sent_ns = now_ns();
    c->due_ns = due_ns ? due_ns : c->sent_ns;
    send_some(c);
}

static void become_idle(struct conn *c)
{
    if (options.rate > 0) {
        c->state = IDLE;
        idle[idle_len++] = c;
    } else {
        start_request(c, 0);
    }
}

static void leave_idle(struct conn *c)
{
    for (int i = 0; i < idle_len; i++)
        if (idle[i] == c) {
            idle[i] = idle[--idle_len];
            return;
        }
}

/* --- Answers --- */

static void complete_answer(struct conn *c, uint64_t now)
{
    completed++;
    if (c->status == 200 && (options.events >= 0 ? c->events != options.events : c->size_seen != body_len))
        wrong++;
    if (measuring) {
        requests++;
        record(&latency, now - c->due_ns);
    }
    if (c->close_after)
        reopen(c);
    else
        become_idle(c);
}

static void on_event(struct conn *c, uint64_t now)
{
    uint64_t written = c->mark_value;
    if (measuring) {
        events++;
        record(&event_latency, now > written ? now - written : 0);
        if (!c->events)
            record(&first_event, now - c->sent_ns);
    }
    c->events++;
}

/* Looks for marks in body bytes; a mark may be cut anywhere. */
static void take_body(struct conn *c, const char *data, size_t len, uint64_t now)
{
    const char *end = data + len;
    if (measuring)
        body_bytes += len;
    while (data < end) {
        if (c->mark == MARK_NONE) {
            data = memchr(data, MARK_START, (size_t)(end - data));
            if (!data)
                return;
            data++;
            c->mark = MARK_KIND;
        } else if (c->mark == MARK_KIND) {
            c->mark_kind = *data++;
            c->mark_value = 0;
            c->mark = MARK_DIGITS;
        } else if (*data >= '0' && *data <= '9') {
            c->mark_value = c->mark_value * 10 + (uint64_t)(*data++ - '0');
        } else {
            if (*data == MARK_END && c->mark_kind == MARK_TIME)
                on_event(c, now);
            else if (*data == MARK_END && c->mark_kind == MARK_SIZE)
                c->size_seen = c->mark_value;
            c->mark = MARK_NONE;
        }
    }
}

static int hex_digit(char ch)
{
    return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* One byte of chunk framing. 1: the answer is complete; -1: this is no chunk framing. */
static int take_framing(struct conn *c, char ch)
{
    switch (c->chunk) {
    case CHUNK_SIZE:
        if (hex_digit(ch) >= 0) {
            c->left = c->left * 16 + (uint64_t)hex_digit(ch);
            return 0;
        }
        if (ch != '\r' && ch != '\n' && ch != ';' && ch != ' ')
            return -1;
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
        return ch == '\n' || ch == '\r' ? 0 : -1;
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

/* Consumes the head. Returns how many bytes, or -1 when it cannot be understood. */
static ssize_t read_head(struct conn *c, const char *data, size_t len)
{
    size_t before = c->head_len, n = len;
    if (n > HEAD_MAX - 1 - before)
        n = HEAD_MAX - 1 - before;
    if (!n)
        return -1;
    memcpy(c->head + before, data, n);
    c->head_len += n;
    c->head[c->head_len] = 0;
    char *end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
    if (!end)
        return (ssize_t)n;
    end[4] = 0;
    n = (size_t)(end + 4 - c->head) - before;
    if (strncmp(c->head, "HTTP/1.", 7) || (c->status = atoi(c->head + 9)) < 100 || c->status >= MAX_STATUS)
        return -1;
    if (c->status < 200) { /* interim: the answer is still to come */
        c->head_len = 0;
        return (ssize_t)n;
    }
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    if (!c->chunked && !length)
        return -1; /* an answer that only the end of the connection ends would hide a cut one */
    c->close_after = strcasestr(c->head, "\r\nconnection: close") != NULL;
    c->left = c->chunked ? 0 : strtoull(length + 17, NULL, 10);
    c->chunk = CHUNK_SIZE;
    c->state = BODY;
    answers[c->status]++;
    if (c->status != 200 && !first_refusal[0])
        snprintf(first_refusal, sizeof first_refusal, "%.*s", (int)strcspn(c->head, "\r"), c->head);
    return (ssize_t)n;
}

/* Consumes body bytes. Returns how many, or -1 when the framing is broken. `*complete`: the answer ended. */
static ssize_t read_body(struct conn *c, const char *data, size_t len, uint64_t now, int *complete)
{
    size_t at = 0;
    *complete = !c->chunked && !c->left;
    while (at < len && !*complete) {
        if (c->chunked && c->chunk != CHUNK_DATA) {
            int result = take_framing(c, data[at++]);
            if (result < 0)
                return -1;
            *complete = result;
            continue;
        }
        size_t n = len - at < c->left ? len - at : c->left;
        take_body(c, data + at, n, now);
        at += n;
        c->left -= n;
        if (!c->left) {
            c->chunk = CHUNK_DATA_END;
            *complete = !c->chunked;
        }
    }
    return (ssize_t)at;
}

static void on_data(struct conn *c, const char *data, size_t len, uint64_t now)
{
    long events_before = c->events;
    int complete = 0;
    while ((len || (c->state == BODY && !c->chunked && !c->left)) && !complete) {
        ssize_t n = -1;
        if (c->state == HEAD)
            n = read_head(c, data, len);
        else if (c->state == BODY)
            n = read_body(c, data, len, now, &complete);
        if (n < 0) {
            fail(c, c->state == BODY ? "broken chunk framing" : "bytes that are no answer, or an answer before the request ended", 0);
            return;
        }
        data += n;
        len -= (size_t)n;
    }
    if (measuring && c->events > events_before)
        event_reads++;
    if (complete && len)
        fail(c, "bytes after the end of an answer", 0);
    else if (complete)
        complete_answer(c, now);
}

/* --- The loop --- */

static void on_writable(struct conn *c)
{
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t len = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) { /* not opened again: a listener that refuses would make this loop spin */
            note_error("connect", error);
            close(c->fd);
            c->state = CLOSED;
            return;
        }
        watch_out(c, 0);
        become_idle(c);
    } else if (c->state == SENDING) {
        send_some(c);
    }
}

static void on_readable(struct conn *c)
{
    static char buffer[READ_MAX];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    int error = n < 0 ? errno : 0;
    uint64_t now = now_ns();
    if (n > 0) {
        on_data(c, buffer, (size_t)n, now);
    } else if (error != EAGAIN) {
        if (c->state == IDLE) { /* an idle connection may be closed at any time: no error */
            leave_idle(c);
            reopen(c);
        } else {
            fail(c, "connection ended before the answer was complete", error);
        }
    }
}

static void open_due_connections(uint64_t begin, uint64_t now)
{
    int due = options.connections;
    if (options.ramp > 0 && (double)(now - begin) * options.ramp / 1e9 < due - 1)
        due = (int)((double)(now - begin) * options.ramp / 1e9) + 1;
    while (opened < due) {
        all[opened] = must(calloc(1, sizeof **all));
        open_connection(all[opened++]);
    }
}

static void send_due_requests(uint64_t now)
{
    while (next_due_ns <= now && idle_len) {
        start_request(idle[--idle_len], next_due_ns);
        next_due_ns += (uint64_t)(1e9 / options.rate);
    }
}

/* Works until `end`, or until standard input ends when `end` is 0. `begin` is when the run began. */
static void work_until(uint64_t begin, uint64_t end)
{
    static struct epoll_event ready[BATCH];
    for (uint64_t now = now_ns(); !end || now < end; now = now_ns()) {
        uint64_t wake = now + 20000000;
        if (opened < options.connections)
            wake = now + 1000000;
        if (end && end < wake)
            wake = end;
        open_due_connections(begin, now);
        if (options.rate > 0) {
            send_due_requests(now);
            if (idle_len && next_due_ns < wake)
                wake = next_due_ns;
        }
        struct timespec wait = {.tv_nsec = (long)(wake > now ? wake - now : 0)};
        int n = epoll_pwait2(epoll_fd, ready, BATCH, &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct conn *c = ready[i].data.ptr;
            char byte;
            if (!c && read(STDIN_FILENO, &byte, 1) <= 0)
                return;
            if (c && ready[i].events & EPOLLOUT && c->state != CLOSED)
                on_writable(c);
            if (c && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->state >= SENDING)
                on_readable(c);
        }
    }
}

static void print_result(double seconds, double cpu_seconds)
{
    int open_streams = 0;
    const char *comma = "";
    for (int i = 0; i < opened; i++)
        open_streams += all[i]->state == BODY;
    uint64_t overdue = options.rate > 0 && now_ns() > next_due_ns ? (uint64_t)((double)(now_ns() - next_due_ns) * options.rate / 1e9) : 0;
    printf("{\"seconds\": %.6f, \"load_cpu_seconds\": %.6f", seconds, cpu_seconds);
    printf(", \"requests\": %llu, \"events\": %llu, \"event_reads\": %llu, \"body_bytes\": %llu", (unsigned long long)requests,
           (unsigned long long)events, (unsigned long long)event_reads, (unsigned long long)body_bytes);
    if (options.count_segments)
        printf(", \"segments\": %llu", (unsigned long long)segments);
    printf(", \"started\": %llu, \"completed\": %llu, \"errors\": %llu, \"wrong\": %llu, \"reconnects\": %llu, \"overdue\": %llu",
           (unsigned long long)started, (unsigned long long)completed, (unsigned long long)errors, (unsigned long long)wrong,
           (unsigned long long)reconnects, (unsigned long long)overdue);
    printf(", \"connections\": %d, \"open_streams\": %d, \"answers\": {", opened, open_streams);
    for (int status = 0; status < MAX_STATUS; status++)
        if (answers[status]) {
            printf("%s\"%d\": %llu", comma, status, (unsigned long long)answers[status]);
            comma = ", ";
        }
    printf("}");
    print_histogram("latency", &latency);
    print_histogram("first_event", &first_event);
    print_histogram("event_latency", &event_latency);
    for (char *p = first_refusal; *p; p++) /* comes from the peer: keep the JSON whole */
        if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ' || (unsigned char)*p > '~')
            *p = '?';
    printf(", \"first_error\": \"%s\", \"first_refusal\": \"%s\"}\n", first_error, first_refusal);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void say(const char *word)
{
    puts(word);
    fflush(stdout);
}

/* Head and body of the one request that is sent again and again; the fields are those a common client library sends. */
static void build_request(void)
{
    struct stat info;
    FILE *file = fopen(options.body_file, "rb");
    if (!file || fstat(fileno(file), &info)) {
        fprintf(stderr, "load: cannot read %s: %s\n", options.body_file, strerror(errno));
        exit(2);
    }
    body_len = (size_t)info.st_size;
    request = must(malloc(body_len + 8192));
    int n = snprintf(request, 8192,
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: OpenAI/Python 1.99.0\r\nAccept: application/json\r\n"
                     "Accept-Encoding: gzip, deflate\r\nAuthorization: Bearer sk-test-client-000000000000000000000000\r\n"
                     "X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.99.0\r\nX-Stainless-OS: Linux\r\n"
                     "X-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.7\r\n"
                     "X-Stainless-Async: async:asyncio\r\n%sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     options.target, options.port, options.fields, body_len);
    if (n >= 8192 || fread(request + n, 1, body_len, file) != body_len) {
        fprintf(stderr, "load: cannot read %s, or the head is longer than 8 KiB\n", options.body_file);
        exit(2);
    }
    fclose(file);
    request_len = (size_t)n + body_len;
}

static void add_field(const char *line)
{
    size_t used = strlen(options.fields);
    snprintf(options.fields + used, sizeof options.fields - used, "%s\r\n", line);
}

static void read_options(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "p:u:b:h:c:w:d:r:R:e:sk")) != -1)
        switch (option) {
        case 'p': options.port = atoi(optarg); break;
        case 'u': options.target = optarg; break;
        case 'b': options.body_file = optarg; break;
        case 'h': add_field(optarg); break;
        case 'c': options.connections = atoi(optarg); break;
        case 'w': options.warm_up = atof(optarg); break;
        case 'd': options.seconds = atof(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'R': options.ramp = atof(optarg); break;
        case 'e': options.events = atol(optarg); break;
        case 's': options.count_segments = 1; break;
        case 'k': options.hold = 1; break;
        default: exit(2);
        }
    if (!options.port || !options.body_file || options.connections < 1) {
        fprintf(stderr, "load: -p PORT and -b BODY_FILE are needed; see the first lines of load.c\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    build_request();
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    all = must(calloc((size_t)options.connections, sizeof *all));
    idle = must(calloc((size_t)options.connections, sizeof *idle));
    epoll_fd = epoll_create1(0);

    uint64_t begin = now_ns(), ramp_ns = options.ramp > 0 ? (uint64_t)(options.connections / options.ramp * 1e9) : 0;
    next_due_ns = begin + 20000000; /* time to connect */
    work_until(begin, begin + ramp_ns + (uint64_t)(options.warm_up * 1e9));

    count_segments(1);
    say("start");
    double cpu = cpu_seconds();
    uint64_t from = now_ns();
    measuring = 1;
    work_until(begin, from + (uint64_t)(options.seconds * 1e9));
    measuring = 0;
    double seconds = (double)(now_ns() - from) / 1e9;
    cpu = cpu_seconds() - cpu;
    say("stop");
    count_segments(0);

    if (options.hold) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
        if (!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &e)) /* fails for a file, which has ended already */
            work_until(begin, 0);
    }
    print_result(seconds, cpu);
    return 0;
}
