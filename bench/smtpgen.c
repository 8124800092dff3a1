/* The load generator for mail servers: one thread, C SMTP sessions at a port of 127.0.0.1.
 *
 *     smtpgen PORT SESSIONS BATCH SECONDS START < QUESTIONS
 *
 *     < 220 ...      > EHLO     < 250 ...      > MAIL     < 250 ...
 *     > RCPT TO:<user0000042@domain042.example>           < 250 ...         K: known
 *     > RCPT TO:<nobody0000007@domain007.example>         < 550 ...         U: unknown
 *
 * Each session sends BATCH RCPTs in one write (1: lock step; more: PIPELINING), waits for all
 * replies, whose codes are compared, and sends the next. After 200 RCPTs it says QUIT, closes, and
 * another session begins, so that a server's cost of a session is in the rate. QUESTIONS are those
 * of load.h; the sessions share the list, which begins at line START.
 *
 * Two things are done so that no server waits for us, whichever it is. The reply to QUIT isn't
 * waited for: Exim holds it back for 0.2 s. And where an answer comes in pieces, the first is
 * acknowledged at once: qpsmtpd writes piece by piece under Nagle's algorithm (RFC 896), and the
 * kernel would delay the acknowledgement by 0.04 s (TCP_QUICKACK in tcp(7)).
 *
 * Prints one line of JSON: answers (replies to RCPT), seconds (of the wall clock, sessions' openings
 * included), p50_us, p99_us and max_us (from before the write of a batch to after the read of its
 * last reply), cpu_us (of this process, for each answer). A wrong code, a closed connection or ten
 * seconds of silence end it with a line on stderr and status 1.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum { MOST_BATCH = 100, SESSION_RCPTS = 200, ANSWER_LIMIT = 65536, REQUEST_LIMIT = 32768 };

enum phase { GREETING, EHLO, MAIL, RCPT };

struct session {
    int socket;
    enum phase phase;
    int batch, due; /* replies of this phase, and those that are still to come */
    int rcpts;
    const struct question *asked[MOST_BATCH];
    uint64_t begun;
    size_t length;
    char answer[ANSWER_LIMIT];
};

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect", strerror(errno));
    return fd;
}

static void open_session(struct session *session, int port, int poll)
{
    session->socket = connect_to(port);
    session->phase = GREETING;
    session->batch = session->due = 1;
    session->rcpts = 0;
    session->length = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = session};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, session->socket, &event) < 0)
        die("epoll_ctl", strerror(errno));
}

static void say(struct session *session, const char *request, size_t length)
{
    if (send(session->socket, request, length, MSG_NOSIGNAL) != (ssize_t)length)
        die("send", strerror(errno));
}

static void close_session(struct session *session)
{
    say(session, "QUIT\r\n", 6);
    close(session->socket);
}

static void begin(struct session *session, enum phase phase, int replies)
{
    session->phase = phase;
    session->batch = session->due = replies;
    session->length = 0;
}

static void ask(struct session *session, int batch, struct questions *questions)
{
    char request[REQUEST_LIMIT];
    int length = 0;
    begin(session, RCPT, batch);
    for (int i = 0; i < batch; i++) {
        session->asked[i] = next_question(questions);
        length += snprintf(request + length, sizeof request - (size_t)length, "RCPT TO:<%s>\r\n",
                           session->asked[i]->address);
    }
    session->rcpts += batch;
    session->begun = now();
    say(session, request, (size_t)length);
}

/* Compares the last line of a reply with what is due. */
static void compare(const struct session *session, const char *line)
{
    static const char *const codes[] = {[GREETING] = "220", [EHLO] = "250", [MAIL] = "250"};
    const char *expected = codes[session->phase < RCPT ? session->phase : MAIL];
    const char *address = "";
    if (session->phase == RCPT) {
        const struct question *asked = session->asked[session->batch - session->due];
        expected = asked->known ? "250" : "550";
        address = asked->address;
    }
    if (memcmp(line, expected, 3) != 0) {
        fprintf(stderr, "not %s for '%s': %.100s\n", expected, address, line);
        exit(1);
    }
}

/* Reads what is there; true when all replies that are due are there, and right. */
static bool answered(struct session *session)
{
    size_t room = sizeof session->answer - 1 - session->length;
    ssize_t got = recv(session->socket, session->answer + session->length, room, MSG_DONTWAIT);
    if (got <= 0)
        die("recv", got ? strerror(errno) : "the connection was closed");
    session->length += (size_t)got;
    session->answer[session->length] = 0;
    char *line = session->answer, *end;
    for (; session->due && (end = strchr(line, '\n')); line = end + 1) {
        if (end - line < 4)
            die("no reply", line);
        if (line[3] == '-')
            continue;
        compare(session, line);
        session->due--;
    }
    session->length -= (size_t)(line - session->answer);
    memmove(session->answer, line, session->length);
    if (session->due) {
        int on = 1;
        setsockopt(session->socket, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        return false;
    }
    if (session->length)
        die("more than was asked for", session->answer);
    return true;
}

/* Says what comes next in a session up to RCPT. */
static void go_on(struct session *session, int batch, struct questions *questions)
{
    static const char ehlo[] = "EHLO client.example\r\n", mail[] = "MAIL FROM:<a@client.example>\r\n";
    switch (session->phase) {
    case GREETING:
        begin(session, EHLO, 1);
        say(session, ehlo, sizeof ehlo - 1);
        break;
    case EHLO:
        begin(session, MAIL, 1);
        say(session, mail, sizeof mail - 1);
        break;
    default:
        ask(session, batch, questions);
    }
}

int main(int argc, char **argv)
{
    if (argc != 6)
        die("usage", "smtpgen PORT SESSIONS BATCH SECONDS START < QUESTIONS");
    int port = atoi(argv[1]), sessions = atoi(argv[2]), batch = atoi(argv[3]);
    double seconds = atof(argv[4]);
    if (sessions < 1 || sessions > MOST_CLIENTS || batch < 1 || batch > MOST_BATCH || seconds <= 0)
        die("usage", "SESSIONS is 1 to 1024, BATCH 1 to 100, SECONDS is above 0");
    struct questions questions = read_questions(argv[5]);

    static struct session all[MOST_CLIENTS];
    struct latencies latencies = {0};
    size_t answers = 0;
    int poll = epoll_create1(0);
    double cpu = cpu_microseconds();
    uint64_t begun = now(), end = begun + (uint64_t)(seconds * 1e9), last = begun;
    for (int i = 0; i < sessions; i++)
        open_session(&all[i], port, poll);
    while (sessions) {
        struct epoll_event events[MOST_CLIENTS];
        int ready = epoll_wait(poll, events, MOST_CLIENTS, SILENCE_MS);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            die("epoll_wait", ready ? strerror(errno) : "no answer in ten seconds");
        for (int i = 0; i < ready; i++) {
            struct session *session = events[i].data.ptr;
            if (!answered(session))
                continue;
            if (session->phase == RCPT) {
                last = now();
                note(&latencies, last - session->begun);
                answers += (size_t)session->batch;
            }
            if (now() >= end) {
                close_session(session);
                sessions--;
            } else if (session->rcpts >= SESSION_RCPTS) {
                close_session(session);
                open_session(session, port, poll);
            } else {
                go_on(session, batch, &questions);
            }
        }
    }
    report(&latencies, answers, (double)(last - begun) / 1e9, cpu_microseconds() - cpu);
    return 0;
}
