/* The load generator: one thread, C clients in lock step at one door of check_user.
 *
 *     loadgen DOOR SOCKET CLIENTS SECONDS START < QUESTIONS
 *
 * DOOR is policy, socketmap (map "recipients") or line; SOCKET is the door's unix socket. QUESTIONS
 * are lines "K ADDRESS" (known) or "U ADDRESS" (unknown). Each client asks one question, waits for
 * the whole answer, compares it with what it must be, and asks the next; the clients share the
 * list, which begins at line START (modulo its length) and begins anew at its end.
 *
 * A policy request has the attributes that Postfix 3.7 sends for a mail over TCP (about 450 octets).
 *
 * Prints one line of JSON: answers, seconds (of the wall clock), p50_us, p99_us and max_us (from
 * before the write of a question to after the read of its answer), cpu_us (of this process, for
 * each answer). A wrong answer, a closed connection or ten seconds of silence end it with a line
 * on stderr and status 1.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CLIENTS = 1024, ANSWER_LIMIT = 1024, REQUEST_LIMIT = 2048, SILENCE_MS = 10000 };

enum door { POLICY, SOCKETMAP, LINE };

struct question {
    bool known;
    const char *address;
};

struct client {
    int socket;
    const struct question *asked;
    uint64_t begun;
    size_t length;
    char answer[ANSWER_LIMIT];
};

struct latencies {
    uint32_t *nanoseconds;
    size_t count, room;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "loadgen: %s: %s\n", what, detail);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static enum door door_of(const char *name)
{
    static const char *const names[] = {"policy", "socketmap", "line"};
    for (int door = 0; door < 3; door++)
        if (strcmp(name, names[door]) == 0)
            return (enum door)door;
    die("no such door", name);
    return LINE;
}

/* Reads all of standard input into QUESTIONS; gives their number. */
static size_t read_questions(struct question **questions)
{
    size_t count = 0, room = 0, size = 0;
    char *line = NULL;
    ssize_t length;
    *questions = NULL;
    while ((length = getline(&line, &size, stdin)) > 0) {
        if (line[length - 1] == '\n')
            line[--length] = 0;
        if (length < 3 || length > 256 || line[1] != ' ' || (line[0] != 'K' && line[0] != 'U'))
            die("a question is K ADDRESS or U ADDRESS, not", line);
        if (count == room) {
            room = room ? 2 * room : 65536;
            *questions = realloc(*questions, room * sizeof **questions);
        }
        char *address = strdup(line + 2);
        if (!*questions || !address)
            die("questions", "no memory");
        (*questions)[count++] = (struct question){line[0] == 'K', address};
    }
    free(line);
    if (!count)
        die("questions", "there are none");
    return count;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        die("the path is too long", path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die(path, strerror(errno));
    return fd;
}

static int write_request(enum door door, const char *address, char *request)
{
    switch (door) {
    case POLICY:
        return snprintf(request, REQUEST_LIMIT,
            "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
            "client_address=192.0.2.17\nclient_name=mail.sender.example\nclient_port=50132\n"
            "reverse_client_name=mail.sender.example\nserver_address=198.51.100.2\n"
            "server_port=25\nhelo_name=mail.sender.example\nsender=someone@sender.example\n"
            "recipient=%s\nrecipient_count=0\nqueue_id=\ninstance=1a2b.5a16b3c4.7d8e9.0\nsize=0\n"
            "etrn_domain=\nstress=\nsasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\n"
            "ccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n"
            "encryption_protocol=\nencryption_cipher=\nencryption_keysize=0\npolicy_context=\n\n",
            address);
    case SOCKETMAP:
        return snprintf(request, REQUEST_LIMIT, "%zu:recipients %s,", strlen(address) + 11, address);
    default:
        return snprintf(request, REQUEST_LIMIT, "%s\n", address);
    }
}

/* What the answer must be, as a whole. */
static int write_expected(enum door door, const struct question *question, char *expected)
{
    static const char *const text = "Address '%s' doesn't exist on this server";
    const char *address = question->address;
    char refusal[512];
    snprintf(refusal, sizeof refusal, text, address);
    switch (door) {
    case POLICY:
        if (question->known)
            return snprintf(expected, ANSWER_LIMIT, "action=DUNNO\n\n");
        return snprintf(expected, ANSWER_LIMIT, "action=550 5.1.1 %s\n\n", refusal);
    case SOCKETMAP:
        if (question->known)
            return snprintf(expected, ANSWER_LIMIT, "%zu:OK %s,", strlen(address) + 3, address);
        return snprintf(expected, ANSWER_LIMIT, "9:NOTFOUND ,");
    default:
        if (question->known)
            return snprintf(expected, ANSWER_LIMIT, "DECLINED known\n");
        return snprintf(expected, ANSWER_LIMIT, "DENY %s\n", refusal);
    }
}

static void ask(enum door door, struct client *client, const struct question *question)
{
    char request[REQUEST_LIMIT];
    int length = write_request(door, question->address, request);
    client->asked = question;
    client->length = 0;
    client->begun = now();
    if (send(client->socket, request, (size_t)length, MSG_NOSIGNAL) != length)
        die("send", strerror(errno));
}

/* Reads what is there; true when the answer is whole and right. */
static bool answered(enum door door, struct client *client)
{
    char expected[ANSWER_LIMIT];
    size_t room = sizeof client->answer - client->length;
    ssize_t got = recv(client->socket, client->answer + client->length, room, MSG_DONTWAIT);
    if (got <= 0)
        die("recv", got ? strerror(errno) : "the connection was closed");
    client->length += (size_t)got;
    size_t whole = (size_t)write_expected(door, client->asked, expected);
    if (client->length > whole || memcmp(client->answer, expected, client->length) != 0) {
        fprintf(stderr, "loadgen: wrong answer for %s: %.*s\n", client->asked->address,
                (int)client->length, client->answer);
        exit(1);
    }
    return client->length == whole;
}

static void note(struct latencies *latencies, uint64_t nanoseconds)
{
    if (latencies->count == latencies->room) {
        latencies->room = latencies->room ? 2 * latencies->room : 65536;
        latencies->nanoseconds =
            realloc(latencies->nanoseconds, latencies->room * sizeof *latencies->nanoseconds);
        if (!latencies->nanoseconds)
            die("latencies", "no memory");
    }
    uint32_t kept = nanoseconds > UINT32_MAX ? UINT32_MAX : (uint32_t)nanoseconds;
    latencies->nanoseconds[latencies->count++] = kept;
}

static int ascending(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double cpu_microseconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void report(struct latencies *latencies, double seconds, double cpu)
{
    size_t count = latencies->count;
    if (!count)
        die("answers", "there were none");
    qsort(latencies->nanoseconds, count, sizeof *latencies->nanoseconds, ascending);
    printf("{\"answers\": %zu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"max_us\": %.1f, \"cpu_us\": %.2f}\n",
           count, seconds, latencies->nanoseconds[count / 2] / 1e3,
           latencies->nanoseconds[count * 99 / 100] / 1e3,
           latencies->nanoseconds[count - 1] / 1e3, cpu / (double)count);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        die("usage", "loadgen DOOR SOCKET CLIENTS SECONDS START < QUESTIONS");
    enum door door = door_of(argv[1]);
    int clients = atoi(argv[3]);
    double seconds = atof(argv[4]);
    if (clients < 1 || clients > MOST_CLIENTS || seconds <= 0)
        die("usage", "CLIENTS is 1 to 1024, SECONDS is above 0");
    struct question *questions;
    size_t count = read_questions(&questions);
    size_t next = strtoull(argv[5], NULL, 10) % count;

    static struct client all[MOST_CLIENTS];
    int poll = epoll_create1(0);
    for (int i = 0; i < clients; i++) {
        all[i].socket = connect_to(argv[2]);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, all[i].socket, &event) < 0)
            die("epoll_ctl", strerror(errno));
    }

    struct latencies latencies = {0};
    double cpu = cpu_microseconds();
    uint64_t begun = now(), end = begun + (uint64_t)(seconds * 1e9), last = begun;
    int open = clients;
    for (int i = 0; i < clients; i++, next = (next + 1) % count)
        ask(door, &all[i], &questions[next]);
    while (open) {
        struct epoll_event events[MOST_CLIENTS];
        int ready = epoll_wait(poll, events, clients, SILENCE_MS);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            die("epoll_wait", ready ? strerror(errno) : "no answer in ten seconds");
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!answered(door, client))
                continue;
            last = now();
            note(&latencies, last - client->begun);
            if (last < end) {
                ask(door, client, &questions[next]);
                next = (next + 1) % count;
            } else {
                close(client->socket);
                open--;
            }
        }
    }
    report(&latencies, (double)(last - begun) / 1e9, cpu_microseconds() - cpu);
    return 0;
}
