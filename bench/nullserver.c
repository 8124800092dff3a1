/* A door without anything behind it: what the load generator can do at most, and what Postfix gets
 * from a check in C that answers by a rule.
 *
 *     nullserver DOOR SOCKET
 *     nullserver smtp PORT
 *
 * One thread. A key that begins with "nobody" or "@" (Postfix's question for a catch-all address) is
 * unknown, any other known. Serves until it is ended.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EVENTS = 1024, MOST_DESCRIPTORS = 4096, QUESTIONS_LIMIT = 65536, ANSWERS_LIMIT = 262144 };

/* What a client has sent and that isn't answered yet, by its descriptor. */
static struct {
    size_t length;
    char text[QUESTIONS_LIMIT];
} asked[MOST_DESCRIPTORS];

static void die(const char *what)
{
    fprintf(stderr, "nullserver: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0)
        die(path);
    return fd;
}

static int listen_on(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0)
        die(port);
    return fd;
}

static void watch(int poll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

/* The end of the first question at DOOR ('p', 's' or 'l'), or line; NULL where it isn't whole. */
static char *end_of(char door, char *question)
{
    if (door == 's') {
        char *text;
        size_t length = strtoul(question, &text, 10);
        return *text == ':' && strlen(text) > length + 1 ? text + length + 2 : NULL;
    }
    char *end = strstr(question, door == 'p' ? "\n\n" : "\n");
    return end ? end + (door == 'p' ? 2 : 1) : NULL;
}

/* Writes the answer for QUESTION at DOOR; gives its length. */
static int write_answer(char door, char *question, char *answer, size_t room)
{
    const char *before = door == 'p' ? "\nrecipient=" : door == 's' ? " " : "";
    char *key = strstr(question, before);
    if (!key)
        return 0;
    key += strlen(before);
    size_t length = strcspn(key, door == 's' ? "," : "\n");
    key[length] = 0;
    bool unknown = *key == '@' || strncmp(key, "nobody", 6) == 0;
    if (door == 's')
        return unknown ? snprintf(answer, room, "9:NOTFOUND ,")
                       : snprintf(answer, room, "%zu:OK %s,", length + 3, key);
    if (!unknown)
        return snprintf(answer, room, door == 'p' ? "action=DUNNO\n\n" : "DECLINED known\n");
    return snprintf(answer, room, "%s Address '%s' doesn't exist on this server%s",
                    door == 'p' ? "action=550 5.1.1" : "DENY", key, door == 'p' ? "\n\n" : "\n");
}

/* Writes the reply to a line of SMTP; gives its length. */
static int write_reply(const char *line, char *reply, size_t room)
{
    static const char unknown[] = "RCPT TO:<nobody";
    return snprintf(reply, room, "%s\r\n",
                    strncmp(line, unknown, sizeof unknown - 1) == 0
                        ? "550 5.1.1 Address doesn't exist on this server"
                        : "250 2.1.5 OK");
}

/* Reads what is there and answers every whole question; false where the client has gone. */
static bool serve(const char *door, int fd)
{
    static char answers[ANSWERS_LIMIT];
    char *text = asked[fd].text, *question = text, *end;
    size_t had = asked[fd].length, answered = 0;
    ssize_t got = recv(fd, text + had, QUESTIONS_LIMIT - 1 - had, 0);
    if (got <= 0)
        return false;
    text[had + (size_t)got] = 0;
    bool smtp = strcmp(door, "smtp") == 0;
    for (; (end = end_of(smtp ? 'l' : *door, question)); question = end) {
        char *answer = answers + answered;
        size_t room = sizeof answers - answered;
        int length = smtp ? write_reply(question, answer, room)
                          : write_answer(*door, question, answer, room);
        if (length <= 0 || (size_t)length >= room)
            return false;
        answered += (size_t)length;
    }
    asked[fd].length = (size_t)(text + had + got - question);
    memmove(text, question, asked[fd].length);
    return send(fd, answers, answered, MSG_NOSIGNAL) == (ssize_t)answered;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("nullserver DOOR SOCKET | nullserver smtp PORT\n", stderr);
        return 2;
    }
    static const char greeting[] = "220 null ESMTP\r\n";
    bool smtp = strcmp(argv[1], "smtp") == 0;
    int listening = smtp ? listen_on(argv[2]) : listen_at(argv[2]);
    int poll = epoll_create1(0);
    watch(poll, listening);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listening) {
                if (!serve(argv[1], fd))
                    close(fd);
                continue;
            }
            fd = accept(listening, NULL, NULL);
            if (fd < 0 || fd >= MOST_DESCRIPTORS)
                die("accept");
            asked[fd].length = 0;
            watch(poll, fd);
            if (smtp)
                send(fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL);
        }
    }
}
