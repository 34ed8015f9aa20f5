/* A wall clock that is wrong: what the file FAKE_CLOCK says, read anew at every look at the clock.
 *
 * `OFFSET FROZEN TRUSTED SLEPT`: seconds to add; 1: it stands still; 1: the kernel calls it right (NTP). And seconds that the
 * machine was suspended: the time since boot goes on by them. All other clocks are true.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* Where it stands while it is frozen: some day of 2026. */
#define FROZEN_AT 1780000000

static int look(long long *offset, int *frozen, int *trusted, long long *slept)
{
    char text[64] = "";
    const char *path = getenv("FAKE_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 && sscanf(text, "%lld %d %d %lld", offset, frozen, trusted, slept) == 4;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    long long offset, slept;
    int frozen, trusted;
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (result || !look(&offset, &frozen, &trusted, &slept))
        return result;
    if (clock == CLOCK_BOOTTIME)
        time->tv_sec += slept;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        if (frozen) {
            time->tv_sec = FROZEN_AT;
            time->tv_nsec = 0;
        }
        time->tv_sec += offset;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

int adjtimex(struct timex *state)
{
    static int (*real)(struct timex *);
    long long offset, slept;
    int frozen, trusted;
    if (!real)
        real = dlsym(RTLD_NEXT, "adjtimex");
    int result = real(state);
    if (!look(&offset, &frozen, &trusted, &slept))
        return result;
    state->status = trusted ? state->status & ~STA_UNSYNC : state->status | STA_UNSYNC;
    return trusted ? TIME_OK : TIME_ERROR;
}
