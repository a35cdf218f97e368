/* A Vulkan driver that fails on demand: it forwards all calls to the driver in REAL_DRIVER, and fails as the first letters of the
 * file FAULT say, once the file exists:
 *
 *   lost       the device is lost: submitted work, and waiting for it, fails from now on, even after the file is removed
 *   memory N   no memory can be allocated on the device after the next N allocations
 *
 * Compiled by tests/devices/faults.rs. The loader finds it by a description that VK_DRIVER_FILES names.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_OF_DEVICE_MEMORY = -2, DEVICE_LOST = -4 };

typedef void (*function)(void);
typedef function (*lookup)(void *, const char *);

static void *real(const char *name) {
    static void *driver;
    if (!driver) driver = dlopen(getenv("REAL_DRIVER"), RTLD_NOW | RTLD_LOCAL);
    if (!driver) abort();
    return dlsym(driver, name);
}

/* Returns the contents of the file, empty if there is no file. */
static void read_fault(char fault[16]) {
    const char *path = getenv("FAULT");
    FILE *file = path ? fopen(path, "r") : NULL;
    memset(fault, 0, 16);
    if (!file) return;
    if (!fread(fault, 1, 15, file)) fault[0] = 0;
    fclose(file);
}

static bool is_lost(void) {
    static volatile bool lost;
    char fault[16];
    read_fault(fault);
    return lost || (lost = !strncmp(fault, "lost", 4));
}

static bool is_out_of_memory(void) {
    static char last[16];
    static long allowed;
    char fault[16];
    read_fault(fault);
    bool is_new = strcmp(fault, last);
    memcpy(last, fault, sizeof last);
    if (strncmp(fault, "memory", 6)) return false;
    if (is_new) allowed = strtol(fault + 6, NULL, 10);
    return allowed-- <= 0;
}

/* A function of the driver that takes up to five arguments, and fails with a lost device. */
#define LOSES(NAME)                                                                                            \
    static int32_t (*real_##NAME)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);                      \
    static int32_t NAME(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e) {                     \
        return is_lost() ? DEVICE_LOST : real_##NAME(a, b, c, d, e);                                           \
    }

LOSES(vkQueueSubmit)
LOSES(vkQueueSubmit2)
LOSES(vkQueueWaitIdle)
LOSES(vkDeviceWaitIdle)
LOSES(vkWaitForFences)
LOSES(vkGetFenceStatus)

static int32_t (*real_vkAllocateMemory)(uintptr_t, uintptr_t, uintptr_t, uintptr_t);
static int32_t vkAllocateMemory(uintptr_t device, uintptr_t what, uintptr_t callbacks, uintptr_t memory) {
    return is_out_of_memory() ? OUT_OF_DEVICE_MEMORY : real_vkAllocateMemory(device, what, callbacks, memory);
}

static function replaced(const char *name, function found) {
#define REPLACE(NAME) \
    if (!strcmp(name, #NAME)) return real_##NAME = (void *)found, (function)NAME;
    if (!found) return NULL;
    REPLACE(vkQueueSubmit)
    REPLACE(vkQueueSubmit2)
    REPLACE(vkQueueWaitIdle)
    REPLACE(vkDeviceWaitIdle)
    REPLACE(vkWaitForFences)
    REPLACE(vkGetFenceStatus)
    REPLACE(vkAllocateMemory)
    return found;
}

static lookup real_of_device;
static function of_device(void *device, const char *name) { return replaced(name, real_of_device(device, name)); }

function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
    function found = ((lookup)real("vk_icdGetInstanceProcAddr"))(instance, name);
    if (found && !strcmp(name, "vkGetDeviceProcAddr")) return real_of_device = (lookup)found, (function)of_device;
    return replaced(name, found);
}

function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
    lookup lookup_real = (lookup)real("vk_icdGetPhysicalDeviceProcAddr");
    return lookup_real ? lookup_real(instance, name) : NULL;
}

int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    int32_t (*negotiate)(uint32_t *) = (int32_t (*)(uint32_t *))real("vk_icdNegotiateLoaderICDInterfaceVersion");
    return negotiate ? negotiate(version) : 0;
}
