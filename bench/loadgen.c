/* The load generator: one thread, C clients in lock step at one door of check_user.
 *
 *     loadgen DOOR SOCKET CLIENTS SECONDS START < QUESTIONS
 *
 * DOOR is policy, socketmap (map "recipients") or line; SOCKET is the door's unix socket. QUESTIONS
 * are those of load.h. Each client asks one, waits for the whole answer, compares it with what it
 * must be, and asks the next; the clients share the list, which begins at line START (modulo its
 * length) and begins anew at its end.
 *
 * A policy request has the attributes that Postfix 3.7 sends for a mail over TCP (about 450 octets).
 *
 * Prints one line of JSON: answers, seconds (of the wall clock), p50_us, p99_us and max_us (from
 * before the write of a question to after the read of its answer), cpu_us (of this process, for
 * each answer). A wrong answer, a closed connection or ten seconds of silence end it with a line
 * on stderr and status 1.
 */

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "load.h"

enum { ANSWER_LIMIT = 1024, REQUEST_LIMIT = 2048 };

enum door { POLICY, SOCKETMAP, LINE };

struct client {
    int socket;
    const struct question *asked;
    uint64_t begun;
    size_t length;
    char answer[ANSWER_LIMIT];
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
        fprintf(stderr, "wrong answer for %s: %.*s\n", client->asked->address,
                (int)client->length, client->answer);
        exit(1);
    }
    return client->length == whole;
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
    struct questions questions = read_questions(argv[5]);

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
        ask(door, &all[i], next_question(&questions));
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
                ask(door, client, next_question(&questions));
            } else {
                close(client->socket);
                open--;
            }
        }
    }
    report(&latencies, latencies.count, (double)(last - begun) / 1e9, cpu_microseconds() - cpu);
    return 0;
}
