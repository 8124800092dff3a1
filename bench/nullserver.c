/* A door without anything behind it: what the load generator can do at most.
 *
 *     nullserver DOOR SOCKET
 *
 * One thread. Every read is taken for one whole question, which a client in lock step makes true;
 * an address that begins with "nobody" is unknown, any other known. Serves until it is ended.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EVENTS = 1024, QUESTION_LIMIT = 4096 };

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

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("nullserver DOOR SOCKET\n", stderr);
        return 2;
    }
    int listening = listen_at(argv[2]);
    int poll = epoll_create1(0);
    watch(poll, listening);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listening) {
                watch(poll, accept(listening, NULL, NULL));
                continue;
            }
            char question[QUESTION_LIMIT], answer[QUESTION_LIMIT];
            ssize_t got = recv(fd, question, sizeof question - 1, 0);
            if (got > 0) {
                question[got] = 0;
                int length = write_answer(argv[1][0], question, answer, sizeof answer);
                if (send(fd, answer, (size_t)length, MSG_NOSIGNAL) == length)
                    continue;
            }
            close(fd);
        }
    }
}
