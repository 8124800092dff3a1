/* A door without anything behind it: what the load generator can do at most.
 *
 *     nullserver DOOR SOCKET
 *     nullserver smtp PORT
 *
 * One thread. Every read is taken for one whole question, or for whole lines of SMTP, which a client
 * makes true that waits for its answers; an address that begins with "nobody" is unknown, any other
 * known. Serves until it is ended.
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

enum { EVENTS = 1024, QUESTION_LIMIT = 32768 };

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

/* Writes the answer for QUESTION at DOOR ('p', 's' or 'l'); gives its length. */
static int write_answer(char door, char *question, char *answer, size_t room)
{
    const char *before = door == 'p' ? "\nrecipient=" : door == 's' ? "recipients " : "";
    char *address = strstr(question, before);
    if (!address)
        return 0;
    address += strlen(before);
    address[strcspn(address, door == 's' ? "," : "\n")] = 0;
    int unknown = strncmp(address, "nobody", 6) == 0;
    if (door == 's')
        return unknown ? snprintf(answer, room, "9:NOTFOUND ,")
                       : snprintf(answer, room, "%zu:OK %s,", strlen(address) + 3, address);
    if (!unknown)
        return snprintf(answer, room, door == 'p' ? "action=DUNNO\n\n" : "DECLINED known\n");
    return snprintf(answer, room, "%s Address '%s' doesn't exist on this server%s",
                    door == 'p' ? "action=550 5.1.1" : "DENY", address, door == 'p' ? "\n\n" : "\n");
}

/* Writes the replies to whole lines of SMTP; gives their length. */
static int write_replies(const char *lines, char *replies, size_t room)
{
    static const char unknown[] = "RCPT TO:<nobody";
    int length = 0;
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1)
        length += snprintf(replies + length, room - (size_t)length, "%s\r\n",
                           strncmp(lines, unknown, sizeof unknown - 1) == 0
                               ? "550 5.1.1 Address doesn't exist on this server"
                               : "250 2.1.5 OK");
    return length;
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
            if (fd == listening) {
                fd = accept(listening, NULL, NULL);
                watch(poll, fd);
                if (smtp)
                    send(fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL);
                continue;
            }
            char question[QUESTION_LIMIT], answer[QUESTION_LIMIT];
            ssize_t got = recv(fd, question, sizeof question - 1, 0);
            if (got > 0) {
                question[got] = 0;
                int length = smtp ? write_replies(question, answer, sizeof answer)
                                  : write_answer(argv[1][0], question, answer, sizeof answer);
                if (send(fd, answer, (size_t)length, MSG_NOSIGNAL) == length)
                    continue;
            }
            close(fd);
        }
    }
}
