/* A disk that is slow, stalls and fails on command. A file system that is in use cannot be turned read-only from outside.
 *
 * FAILING_FOLDER   only what lies in this folder is concerned
 * SLOW_WRITE_US    each write waits so long before it begins
 * FAILING_DISK     while this file is there, writes and syncs fail with the error number that stands in it
 * STALLED_DISK     while this file is there, writes and syncs wait
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* The error number of the hour, 0 while all is well. */
static int failure(void)
{
    static int (*real_open)(const char *, int, ...);
    char text[16] = "";
    const char *path = getenv("FAILING_DISK");
    if (!real_open)
        real_open = dlsym(RTLD_NEXT, "open64");
    int file = path ? real_open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atoi(text) : 0;
}

static int is_concerned(int file)
{
    char link[64], path[4096];
    const char *folder = getenv("FAILING_FOLDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    return folder && length > 0 && (size_t)length > strlen(folder) && !strncmp(path, folder, strlen(folder)) &&
           path[strlen(folder)] == '/';
}

static void be_slow(int file)
{
    const char *pause_us = getenv("SLOW_WRITE_US");
    if (pause_us && is_concerned(file))
        usleep((useconds_t)atoi(pause_us));
}

static void stall(int file)
{
    const char *path = getenv("STALLED_DISK");
    while (path && !access(path, F_OK) && is_concerned(file))
        usleep(10000);
}

#define GUARD(file)                                                                                                    \
    do {                                                                                                               \
        int saved = errno, code;                                                                                       \
        stall(file);                                                                                                   \
        code = failure();                                                                                              \
        if (code && is_concerned(file)) {                                                                              \
            errno = code;                                                                                              \
            return -1;                                                                                                 \
        }                                                                                                              \
        errno = saved;                                                                                                 \
    } while (0)

#define REAL(name, ...)                                                                                                \
    static __typeof__(name) *real;                                                                                     \
    if (!real)                                                                                                         \
        real = dlsym(RTLD_NEXT, #name);                                                                                \
    return real(__VA_ARGS__)

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at)
{
    be_slow(file);
    GUARD(file);
    REAL(pwrite64, file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at)
{
    be_slow(file);
    GUARD(file);
    REAL(pwrite, file, bytes, count, at);
}

ssize_t write(int file, const void *bytes, size_t count)
{
    GUARD(file);
    REAL(write, file, bytes, count);
}

int fdatasync(int file)
{
    GUARD(file);
    REAL(fdatasync, file);
}

int fsync(int file)
{
    GUARD(file);
    REAL(fsync, file);
}

int ftruncate64(int file, off64_t length)
{
    GUARD(file);
    REAL(ftruncate64, file, length);
}
