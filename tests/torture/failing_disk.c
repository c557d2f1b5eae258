/* Loaded into a process (LD_PRELOAD), fails one kind of call on some files, as a disk would:
   FAULT_CALL   write, fsync or rename
   FAULT_PATH   part of the path; of a rename's target
   FAULT_CODE   errno
   The first such call fails, and all that follow. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(const char *call, const char *path)
{
    const char *wanted = getenv("FAULT_CALL"), *part = getenv("FAULT_PATH"), *code = getenv("FAULT_CODE");
    if (!wanted || !part || !code || strcmp(call, wanted) || !strstr(path, part))
        return 0;
    errno = atoi(code);
    return 1;
}

static int handle_fails(const char *call, int handle)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails(call, path);
}

ssize_t write(int handle, const void *content, size_t count)
{
    ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return handle_fails("write", handle) ? -1 : next(handle, content, count);
}

int fsync(int handle)
{
    int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
    return handle_fails("fsync", handle) ? -1 : next(handle);
}

int rename(const char *from, const char *to)
{
    int (*next)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    return fails("rename", to) ? -1 : next(from, to);
}
