/* Stands between a process and the files of one directory: makes operations fail, or kills the process at them, and
 * remembers what was forced to disk, so that a loss of power can be played.
 *
 * Preloaded with LD_PRELOAD. In the environment, read at the start or by faults_begin():
 *   FAULTS_UNDER    the directory, absolute; files directly in it are watched, nothing else is
 *   FAULTS_CONTROL  a file of at least sizeof(struct control) bytes, mapped: whoever writes it switches faults on and off
 *   FAULTS_SHADOW   a directory of its own where what is durable is kept (optional), by one process at a time:
 *     names           a log: C name id | R old new | L old new | U name | S (the directory was forced to disk)
 *     <id>.durable    content as last forced to disk
 *     <id>.pending    what was done since, in order: {operation, offset, length} and the bytes
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, OPEN = 4, RENAME = 8, TRUNCATE = 16, UNLINK = 32 };
enum { NOTHING = 0, FAIL = 1, KILL_BEFORE = 2, KILL_AFTER = 3 };
enum { FDS = 65536, NAMES = 512, DIRECTORY = -1, UNSHADOWED = 0 };

struct control {
    int64_t action;     /* one of the above */
    int64_t error;      /* the errno of FAIL */
    int64_t operations; /* which kinds, added up */
    int64_t skip;       /* how many of them go through first */
    int64_t times;      /* how many fail then; negative: all */
    int64_t seen;       /* how many there were */
    int64_t failed;     /* how many of them failed */
    char name[200];     /* only files with this in their names; empty: all */
};

struct watched {
    char name[NAME_MAX + 1];
    int id; /* of its content; DIRECTORY for the directory itself */
};

struct pending {
    int64_t operation, offset, length;
};

static struct control *control;
static char under[PATH_MAX];
static char shadow[PATH_MAX];
static struct watched *watched[FDS];
static struct {
    char name[NAME_MAX + 1];
    int id;
} names[NAMES];
static int last_id;
static pthread_mutex_t one_at_a_time = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

/* ---- what is watched ---- */

/* The name within the directory; "" for the directory itself; NULL for anything else. */
static const char *name_of(const char *path)
{
    size_t length = strlen(under);
    if (!length || !path || strncmp(path, under, length))
        return NULL;
    path += length;
    while (*path == '/')
        path++;
    return strchr(path, '/') ? NULL : path;
}

static struct watched *of(int fd)
{
    return under[0] && fd >= 0 && fd < FDS ? watched[fd] : NULL;
}

/* ---- faults ---- */

static int concerns(const char *name, int operation)
{
    return control && control->action != NOTHING && (control->operations & operation) &&
           (!control->name[0] || strstr(name, control->name));
}

/* Which action is to be taken at this operation, if any. */
static int fault(const char *name, int operation)
{
    if (!concerns(name, operation))
        return NOTHING;
    int64_t nth = __atomic_fetch_add(&control->seen, 1, __ATOMIC_SEQ_CST);
    if (nth < control->skip || (control->times >= 0 && nth >= control->skip + control->times))
        return NOTHING;
    __atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST);
    if (control->action == KILL_BEFORE)
        kill(getpid(), SIGKILL);
    return (int)control->action;
}

static int fails(int action)
{
    if (action == FAIL)
        errno = (int)control->error;
    return action == FAIL;
}

static void after(int action)
{
    if (action == KILL_AFTER)
        kill(getpid(), SIGKILL);
}

/* ---- what is durable ---- */

static int shadow_open(const char *name, int flags)
{
    char path[PATH_MAX + NAME_MAX];
    snprintf(path, sizeof path, "%s/%s", shadow, name);
    return REAL(open64)(path, flags | O_CLOEXEC, 0600);
}

static int content_open(int id, const char *kind, int flags)
{
    char name[64];
    snprintf(name, sizeof name, "%d.%s", id, kind);
    return shadow_open(name, flags);
}

static int *id_slot(const char *name, int make)
{
    int free_slot = -1;
    for (int i = 0; i < NAMES; i++) {
        if (!names[i].name[0])
            free_slot = free_slot < 0 ? i : free_slot;
        else if (!strcmp(names[i].name, name))
            return &names[i].id;
    }
    if (!make)
        return NULL;
    if (free_slot < 0)
        abort();
    snprintf(names[free_slot].name, sizeof names[free_slot].name, "%s", name);
    return &names[free_slot].id;
}

static void forget(const char *name)
{
    for (int i = 0; i < NAMES; i++)
        if (!strcmp(names[i].name, name))
            names[i].name[0] = 0;
}

static void learn(char kind, const char *one, const char *other, int id)
{
    int *slot = id_slot(one, 0);
    if (kind == 'C')
        *id_slot(one, 1) = id;
    if ((kind == 'R' || kind == 'L') && slot)
        *id_slot(other, 1) = *slot;
    if (kind == 'U' || kind == 'R')
        forget(one);
    if (id > last_id)
        last_id = id;
}

static void note(const char *line)
{
    int log = shadow_open("names", O_WRONLY | O_APPEND | O_CREAT);
    if (log < 0 || REAL(write)(log, line, strlen(line)) != (ssize_t)strlen(line))
        abort();
    REAL(close)(log);
}

/* A name came, went or moved: told, and written down. */
static void named(char kind, const char *one, const char *other, int id)
{
    char line[2 * NAME_MAX + 40];
    if (!shadow[0])
        return;
    if (kind == 'C')
        snprintf(line, sizeof line, "C %s %d\n", one, id);
    else if (other)
        snprintf(line, sizeof line, "%c %s %s\n", kind, one, other);
    else
        snprintf(line, sizeof line, "%c %s\n", kind, one);
    learn(kind, one, other, id);
    note(line);
}

static void pend(int id, int operation, int64_t offset, int64_t length, const void *bytes)
{
    struct pending head = {operation, offset, length};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)bytes, bytes ? (size_t)length : 0}};
    int log = content_open(id, "pending", O_WRONLY | O_APPEND | O_CREAT);
    if (log < 0 || REAL(writev)(log, parts, bytes ? 2 : 1) < 0)
        abort();
    REAL(close)(log);
}

/* What was done to the content since it was last forced to disk becomes durable. */
static void settle(int id)
{
    static char bytes[1 << 20];
    struct pending head;
    int log = content_open(id, "pending", O_RDWR | O_CREAT);
    int durable = content_open(id, "durable", O_RDWR | O_CREAT);
    while (read(log, &head, sizeof head) == (ssize_t)sizeof head) {
        if (head.operation == TRUNCATE) {
            if (REAL(ftruncate64)(durable, head.length))
                abort();
            continue;
        }
        while (head.length > 0) {
            ssize_t got = read(log, bytes, head.length < (int64_t)sizeof bytes ? (size_t)head.length : sizeof bytes);
            if (got <= 0 || REAL(pwrite64)(durable, bytes, (size_t)got, head.offset) != got)
                abort();
            head.offset += got;
            head.length -= got;
        }
    }
    if (REAL(ftruncate64)(log, 0))
        abort();
    REAL(close)(log);
    REAL(close)(durable);
}

__attribute__((constructor)) void faults_begin(void)
{
    const char *said = getenv("FAULTS_UNDER");
    if (!said)
        return;
    if ((said = getenv("FAULTS_CONTROL"))) {
        int fd = REAL(open64)(said, O_RDWR | O_CLOEXEC);
        control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || control == MAP_FAILED)
            abort();
        REAL(close)(fd);
    }
    if ((said = getenv("FAULTS_SHADOW"))) {
        char line[2 * NAME_MAX + 40], kind, one[NAME_MAX + 1], other[NAME_MAX + 1];
        snprintf(shadow, sizeof shadow, "%s", said);
        int log = shadow_open("names", O_RDONLY);
        FILE *lines = log < 0 ? NULL : fdopen(log, "r");
        while (lines && fgets(line, sizeof line, lines)) {
            int parts = sscanf(line, "%c %255s %255s", &kind, one, other);
            if (parts >= 2)
                learn(kind, one, other, kind == 'C' ? atoi(other) : 0);
        }
        if (lines)
            fclose(lines);
    }
    snprintf(under, sizeof under, "%s", getenv("FAULTS_UNDER"));
}

/* ---- the operations ---- */

static int opened(int at, const char *path, int flags, mode_t mode)
{
    const char *name = at == AT_FDCWD || (path && path[0] == '/') ? name_of(path) : NULL;
    if (!name)
        return REAL(openat64)(at, path, flags, mode);
    int changes = (flags & O_ACCMODE) != O_RDONLY;
    int action = changes ? fault(name, OPEN) : NOTHING;
    if (fails(action))
        return -1;
    pthread_mutex_lock(&one_at_a_time);
    int fresh = (flags & O_CREAT) && access(path, F_OK);
    int fd = REAL(openat64)(at, path, flags, mode);
    if (fd >= 0 && fd < FDS) {
        struct watched *file = calloc(1, sizeof *file);
        snprintf(file->name, sizeof file->name, "%s", name);
        file->id = name[0] ? UNSHADOWED : DIRECTORY;
        if (shadow[0] && name[0]) {
            if (fresh)
                named('C', name, NULL, last_id + 1);
            int *id = id_slot(name, 0);
            file->id = id ? *id : UNSHADOWED;
            if (!fresh && (flags & O_TRUNC) && id)
                pend(*id, TRUNCATE, 0, 0, NULL);
        }
        free(watched[fd]);
        watched[fd] = file;
    }
    pthread_mutex_unlock(&one_at_a_time);
    after(action);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }

int close(int fd)
{
    struct watched *file = of(fd);
    if (file) {
        watched[fd] = NULL;
        free(file);
    }
    return REAL(close)(fd);
}

static void wrote(struct watched *file, int64_t offset, const void *bytes, ssize_t count)
{
    if (shadow[0] && count > 0 && file->id > 0)
        pend(file->id, WRITE, offset, count, bytes);
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    struct watched *file = of(fd);
    if (!file)
        return REAL(write)(fd, bytes, count);
    int action = fault(file->name, WRITE);
    if (fails(action))
        return -1;
    pthread_mutex_lock(&one_at_a_time);
    ssize_t done = REAL(write)(fd, bytes, count);
    wrote(file, done > 0 ? lseek64(fd, 0, SEEK_CUR) - done : 0, bytes, done);
    pthread_mutex_unlock(&one_at_a_time);
    after(action);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    struct watched *file = of(fd);
    if (!file)
        return REAL(pwrite64)(fd, bytes, count, offset);
    int action = fault(file->name, WRITE);
    if (fails(action))
        return -1;
    pthread_mutex_lock(&one_at_a_time);
    ssize_t done = REAL(pwrite64)(fd, bytes, count, offset);
    wrote(file, offset, bytes, done);
    pthread_mutex_unlock(&one_at_a_time);
    after(action);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }

static int synced(int fd, struct watched *file)
{
    int action = fault(file->name, SYNC);
    if (fails(action))
        return -1;
    int done = 0;
    pthread_mutex_lock(&one_at_a_time);
    if (!shadow[0])
        done = REAL(fsync)(fd);
    else if (file->id == DIRECTORY)
        note("S\n");
    else if (file->id > 0)
        settle(file->id);
    pthread_mutex_unlock(&one_at_a_time);
    after(action);
    return done;
}

int fsync(int fd)
{
    struct watched *file = of(fd);
    return file ? synced(fd, file) : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    struct watched *file = of(fd);
    return file ? synced(fd, file) : REAL(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t length)
{
    struct watched *file = of(fd);
    if (!file)
        return REAL(ftruncate64)(fd, length);
    int action = fault(file->name, TRUNCATE);
    if (fails(action))
        return -1;
    pthread_mutex_lock(&one_at_a_time);
    int done = REAL(ftruncate64)(fd, length);
    if (!done && shadow[0] && file->id > 0)
        pend(file->id, TRUNCATE, 0, length, NULL);
    pthread_mutex_unlock(&one_at_a_time);
    after(action);
    return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int moved(char kind, const char *one, const char *other, int operation, int (*really)(const char *, const char *))
{
    const char *from = name_of(one), *to = other ? name_of(other) : from;
    if (!from || !to)
        return really(one, other);
    int action = fault(to, operation);
    if (fails(action))
        return -1;
    pthread_mutex_lock(&one_at_a_time);
    int done = really(one, other);
    if (!done)
        named(kind, from, other ? to : NULL, 0);
    pthread_mutex_unlock(&one_at_a_time);
    after(action);
    return done;
}

static int really_unlink(const char *path, const char *nothing)
{
    (void)nothing;
    return REAL(unlink)(path);
}

int rename(const char *from, const char *to) { return moved('R', from, to, RENAME, REAL(rename)); }
int link(const char *from, const char *to) { return moved('L', from, to, RENAME, REAL(link)); }
int unlink(const char *path) { return moved('U', path, NULL, UNLINK, really_unlink); }

int renameat(int a, const char *from, int b, const char *to)
{
    return a == AT_FDCWD && b == AT_FDCWD ? rename(from, to) : REAL(renameat)(a, from, b, to);
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
    return a == AT_FDCWD && b == AT_FDCWD ? link(from, to) : REAL(linkat)(a, from, b, to, flags);
}

int unlinkat(int at, const char *path, int flags)
{
    return at == AT_FDCWD && !(flags & AT_REMOVEDIR) ? unlink(path) : REAL(unlinkat)(at, path, flags);
}
