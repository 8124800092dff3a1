/* What the load generators share: the clock, the questions, the latencies, the report.
 *
 * Questions are lines "K ADDRESS" (known) or "U ADDRESS" (unknown) on standard input. Whatever goes
 * wrong ends the program with a line on stderr and status 1.
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MOST_CLIENTS = 1024, SILENCE_MS = 10000 };

struct question {
    bool known;
    const char *address;
};

struct questions {
    struct question *all;
    size_t count, next;
};

struct latencies {
    uint32_t *nanoseconds;
    size_t count, room;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Reads all of standard input; START (modulo their number) is the first that is asked. */
static struct questions read_questions(const char *start)
{
    struct questions read = {0};
    size_t room = 0, size = 0;
    char *line = NULL;
    ssize_t length;
    while ((length = getline(&line, &size, stdin)) > 0) {
        if (line[length - 1] == '\n')
            line[--length] = 0;
        if (length < 3 || length > 256 || line[1] != ' ' || (line[0] != 'K' && line[0] != 'U'))
            die("a question is K ADDRESS or U ADDRESS, not", line);
        if (read.count == room) {
            room = room ? 2 * room : 65536;
            read.all = realloc(read.all, room * sizeof *read.all);
        }
        char *address = strdup(line + 2);
        if (!read.all || !address)
            die("questions", "no memory");
        read.all[read.count++] = (struct question){line[0] == 'K', address};
    }
    free(line);
    if (!read.count)
        die("questions", "there are none");
    read.next = strtoull(start, NULL, 10) % read.count;
    return read;
}

/* Gives the next question; the list begins anew at its end. */
static const struct question *next_question(struct questions *questions)
{
    const struct question *next = &questions->all[questions->next];
    questions->next = (questions->next + 1) % questions->count;
    return next;
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

/* Prints one line of JSON; CPU is in microseconds and becomes that of one answer. */
static void report(struct latencies *latencies, size_t answers, double seconds, double cpu)
{
    size_t count = latencies->count;
    if (!count)
        die("answers", "there were none");
    qsort(latencies->nanoseconds, count, sizeof *latencies->nanoseconds, ascending);
    printf("{\"answers\": %zu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"max_us\": %.1f, \"cpu_us\": %.2f}\n",
           answers, seconds, latencies->nanoseconds[count / 2] / 1e3,
           latencies->nanoseconds[count * 99 / 100] / 1e3,
           latencies->nanoseconds[count - 1] / 1e3, cpu / (double)answers);
}
