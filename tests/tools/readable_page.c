/* Keeps one readable page behind every mapped file, for qemu-x86_64: it emulates `vinsertf128` from memory as a load of 32 bytes, where
   processors read 16 (seen in version 10.0.2), and so crashes at the end of a file of weights that fills its last page. Preloaded into
   the emulated program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void *(*mapping)(void *, size_t, int, int, int, off_t);

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    mapping map = (mapping)dlsym(RTLD_NEXT, "mmap");
    if (file < 0 || address || (flags & MAP_FIXED))
        return map(address, length, protection, flags, file, offset);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (length + page - 1) / page * page;
    void *room = map(NULL, pages + page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return room == MAP_FAILED ? room : map(room, length, protection, flags | MAP_FIXED, file, offset);
}
