/* The load generator: one thread, C clients in lock step at one door of check_user.
 *
 *     loadgen DOOR SOCKET CLIENTS BATCH SECONDS START < QUESTIONS
 *
 * DOOR is policy, socketmap (map "recipients") or line; SOCKET is the door's unix socket. QUESTIONS
 * are those of load.h. Each client asks BATCH of them in one write (more than 1: pipelined), waits
 * for all answers, compares them with what they must be, and asks the next; the clients share the
 * list, which begins at line START (modulo its length) and begins anew at its end.
 *
 * A policy request has the attributes that Postfix 3.7 sends for a mail over TCP (about 450 octets).
 *
 * Prints one line of JSON: answers, seconds (of the wall clock), p50_us, p99_us and max_us (from
 * before the write of a batch to after the read of its last answer), cpu_us (of this process, for
 * each answer). A wrong answer, a closed connection or ten seconds of silence end it with a line
 * on stderr and status 1.
 */

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "load.h"

enum { MOST_BATCH = 100, ANSWER_LIMIT = 512, REQUEST_LIMIT = 1024, READ_SIZE = 65536 };

enum door { POLICY, SOCKETMAP, LINE };

struct client {
    int socket;
    uint64_t begun;
    size_t due, got; /* octets of the answers, and of them those that have come */
    char expected[MOST_BATCH * ANSWER_LIMIT];
};

static enum door door_of(const char *name)
{
    static const char *const names[] = {"policy", "socketmap", "line"};
    for (int door = 0; door < 3; door++)
        if (strcmp(name, names[door]) == 0)
            return (enum door)door;
    die("no such door", name);
    return LINE;
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
    char refusal[384];
    if (question->known) {
        if (door == POLICY)
            return snprintf(expected, ANSWER_LIMIT, "action=DUNNO\n\n");
        if (door == SOCKETMAP)
            return snprintf(expected, ANSWER_LIMIT, "%zu:OK %s,", strlen(address) + 3, address);
        return snprintf(expected, ANSWER_LIMIT, "DECLINED known\n");
    }
    if (door == SOCKETMAP)
        return snprintf(expected, ANSWER_LIMIT, "9:NOTFOUND ,");
    snprintf(refusal, sizeof refusal, text, address);
    return snprintf(expected, ANSWER_LIMIT, door == POLICY ? "action=550 5.1.1 %s\n\n" : "DENY %s\n",
                    refusal);
}

static void ask(enum door door, struct client *client, int batch, struct questions *questions)
{
    static char requests[MOST_BATCH * REQUEST_LIMIT];
    size_t length = 0;
    client->due = client->got = 0;
    for (int i = 0; i < batch; i++) {
        const struct question *next = next_question(questions);
        length += (size_t)write_request(door, next->address, requests + length);
        client->due += (size_t)write_expected(door, next, client->expected + client->due);
    }
    client->begun = now();
    if (send(client->socket, requests, length, MSG_NOSIGNAL) != (ssize_t)length)
        die("send", strerror(errno));
}

/* Reads what is there; true when all answers have come, and are right. */
static bool answered(struct client *client)
{
    static char answer[READ_SIZE];
    ssize_t got = recv(client->socket, answer, sizeof answer, MSG_DONTWAIT);
    if (got <= 0)
        die("recv", got ? strerror(errno) : "the connection was closed");
    const char *expected = client->expected + client->got;
    if ((size_t)got > client->due - client->got || memcmp(answer, expected, (size_t)got) != 0) {
        fprintf(stderr, "wrong answer: %.*s\nnot: %.*s\n", (int)got, answer,
                (int)(client->due - client->got), expected);
        exit(1);
    }
    client->got += (size_t)got;
    return client->got == client->due;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        die("usage", "loadgen DOOR SOCKET CLIENTS BATCH SECONDS START < QUESTIONS");
    enum door door = door_of(argv[1]);
    int clients = atoi(argv[3]), batch = atoi(argv[4]);
    double seconds = atof(argv[5]);
    if (clients < 1 || clients > MOST_CLIENTS || batch < 1 || batch > MOST_BATCH || seconds <= 0)
        die("usage", "CLIENTS is 1 to 1024, BATCH 1 to 100, SECONDS is above 0");
    struct questions questions = read_questions(argv[6]);

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
    for (int i = 0; i < clients; i++)
        ask(door, &all[i], batch, &questions);
    while (open) {
        struct epoll_event events[MOST_CLIENTS];
        int ready = epoll_wait(poll, events, clients, SILENCE_MS);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            die("epoll_wait", ready ? strerror(errno) : "no answer in ten seconds");
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!answered(client))
                continue;
            last = now();
            note(&latencies, last - client->begun);
            if (last < end) {
                ask(door, client, batch, &questions);
            } else {
                close(client->socket);
                open--;
            }
        }
    }
    size_t answers = latencies.count * (size_t)batch;
    report(&latencies, answers, (double)(last - begun) / 1e9, cpu_microseconds() - cpu);
    return 0;
}
