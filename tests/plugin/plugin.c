/* A plugin of ONNX Runtime that fails, or is unusual, in the ways of real plugins. Compiled by tests/providers/main.rs with one of
 *
 *   WRONG_VERSION   requires a version of the interface that no ONNX Runtime has
 *   NO_DEVICE       loads, and finds no device to run on
 *   REJECTS         offers the CPU as a device, and refuses to make a provider for any graph
 *   TAKES_NOTHING   offers the CPU as a device, and takes no node of any graph
 *   TAKES_NAME      the same, and its provider takes the name of the registration, like QNN's
 *   FAILS_LATER     takes every graph whole, and fails when the graph runs
 *   OWN_MEMORY      the same, and wants inputs in the memory of a GPU
 *   COMPUTES        takes Sin and Sigmoid of any graph, and computes them
 *   ERRS            the same, with results 1 % too high
 *   KEEPS_INPUTS    the same as COMPUTES, but always on the first input of each size
 *   HANGS           never returns
 *
 * and with the numbers of functions in ONNX Runtime's table: CREATE_MEMORY_INFO, CREATE_STATUS, GET_EP_API and the others below.
 * The structs have the fields that version 1.23 of the interface needs. Of the functions for plugins, number 0 makes a device, 2
 * takes nodes, and 5 adds memory to a device.
 */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(FAILS_LATER) || defined(OWN_MEMORY)
#define TAKES_ALL
#endif
#if defined(ERRS) || defined(KEEPS_INPUTS)
#define COMPUTES
#endif

typedef void (*function)(void);
typedef struct status status;
typedef struct { const function *(*api)(uint32_t version); const char *(*version)(void); } api_base;

typedef struct provider provider;
struct provider {
    uint32_t version;
    const char *(*name)(const provider *);
    status *(*capability)(provider *, const void *graph, void *support);
    status *(*compile)(provider *, const void **graphs, const void **fused, size_t count, void **kernels, void **contexts);
    void (*release)(provider *, void **kernels, size_t count);
    function later[32];
};

typedef struct {
    uint32_t version;
    status *(*create)(void *self, void *context, void **state);
    status *(*compute)(void *self, void *state, void *context);
    void (*release)(void *self, void *state);
} kernel;

typedef struct factory factory;
struct factory {
    uint32_t version;
    const char *(*name)(const factory *);
    const char *(*vendor)(const factory *);
    status *(*devices)(factory *, const void *const *devices, size_t count, void **offered, size_t most, size_t *number);
    status *(*create)(factory *, const void *const *devices, const void *const *metadata, size_t count, const void *options,
                      const void *logger, provider **made);
    void (*release)(factory *, provider *);
    function vendor_id;
    const char *(*own_version)(const factory *);
    function compatibility;
    status *(*create_allocator)(factory *, const void *info, const void *options, void **allocator);
    function later[32];
};

typedef struct allocator allocator;
struct allocator {
    uint32_t version;
    void *(*take)(allocator *, size_t size);
    void (*give)(allocator *, void *memory);
    const void *(*info)(const allocator *);
    void *(*reserve)(allocator *, size_t size);
    function later[8];
};

static const function *api;

static status *failure(const char *words) {
    return ((status * (*)(int, const char *)) api[CREATE_STATUS])(1, words);
}

#ifdef TAKES_NAME
/* Each registration has a factory of its own, and a provider the name of its factory. */
typedef struct { factory factory; char name[128]; } named_factory;
typedef struct { provider provider; const char *name; } named_provider;

static const char *name_of_factory(const factory *factory) { return ((const named_factory *)factory)->name; }
static const char *name_of_provider(const provider *provider) { return ((const named_provider *)provider)->name; }
#else
typedef provider named_provider;

static const char *name_of_factory(const factory *factory) { (void)factory; return "UselessExecutionProvider"; }
static const char *name_of_provider(const provider *provider) { (void)provider; return "UselessExecutionProvider"; }
#endif
static const char *vendor(const factory *factory) { (void)factory; return "nobody"; }
static const char *version(const factory *factory) { (void)factory; return "0.1.0"; }
static void *nothing(void) { return NULL; }

#ifdef OWN_MEMORY
static void *memory_info;

static void *take(allocator *self, size_t size) { (void)self; return malloc(size); }
static void give(allocator *self, void *memory) { (void)self; free(memory); }
static const void *info(const allocator *self) { (void)self; return memory_info; }
static allocator the_allocator = {23, take, give, info, take, {NULL}};

static status *create_allocator(factory *self, const void *info, const void *options, void **made) {
    (void)self, (void)info, (void)options, *made = &the_allocator;
    return NULL;
}

/* Memory of a GPU (1), of no vendor, device 0, not shared with the host (0), aligned by 64, from a plain allocator (0). */
static status *add_memory(void *device, const function *ep_api) {
    status *made = ((status * (*)(const char *, int, uint32_t, int32_t, int, size_t, int, void **)) api[CREATE_MEMORY_INFO])(
        "Useless_Buf", 1, 0, 0, 0, 64, 0, &memory_info);
    return made ? made : ((status * (*)(void *, const void *)) ep_api[5])(device, memory_info);
}
#elif !defined(NO_DEVICE)
static status *add_memory(void *device, const function *ep_api) { (void)device, (void)ep_api; return NULL; }
#endif

static status *devices(factory *self, const void *const *devices, size_t count, void **offered, size_t most, size_t *number) {
    *number = 0;
#ifndef NO_DEVICE
    const function *ep_api = ((const function *(*)(void)) api[GET_EP_API])();
    for (size_t i = 0; i < count && *number < most; i++) {
        if (((int (*)(const void *)) api[HARDWARE_DEVICE_TYPE])(devices[i]) == 0) {
            void **device = &offered[(*number)++];
            status *made = ((status * (*)(factory *, const void *, const void *, const void *, void **)) ep_api[0])(
                self, devices[i], NULL, NULL, device);
            return made ? made : add_memory(*device, ep_api);
        }
    }
#else
    (void)self, (void)devices, (void)count, (void)offered, (void)most;
#endif
    return NULL;
}

#ifdef TAKES_ALL
typedef struct { uint32_t version; bool drops_constants; } fusion;
static const fusion the_fusion = {23, true};

static status *create_state(void *self, void *context, void **state) { (void)self, (void)context, *state = NULL; return NULL; }
static status *compute(void *self, void *state, void *context) {
    (void)self, (void)state, (void)context;
    return failure("the device is gone");
}
static void release_state(void *self, void *state) { (void)self, (void)state; }
static kernel the_kernel = {23, create_state, compute, release_state};

static status *takes_all(provider *self, const void *graph, void *support) {
    const function *ep_api = ((const function *(*)(void)) api[GET_EP_API])();
    const void *nodes[4096];
    size_t count = 0;
    (void)self;
    ((status * (*)(const void *, size_t *)) api[NODE_COUNT])(graph, &count);
    if (count > sizeof nodes / sizeof *nodes) return failure("a graph of too many nodes");
    ((status * (*)(const void *, const void **, size_t)) api[NODES])(graph, nodes, count);
    return ((status * (*)(void *, const void *const *, size_t, const void *)) ep_api[2])(support, nodes, count, &the_fusion);
}

static status *compile(provider *self, const void **graphs, const void **fused, size_t count, void **kernels, void **contexts) {
    (void)self, (void)graphs, (void)fused, (void)contexts;
    for (size_t i = 0; i < count; i++) kernels[i] = &the_kernel;
    return NULL;
}

static void release_kernels(provider *self, void **kernels, size_t count) { (void)self, (void)kernels, (void)count; }
#elif defined(COMPUTES)
typedef struct { uint32_t version; bool drops_constants; } fusion;
static const fusion the_fusion = {23, false};

/* One node, and the first input of each size, with KEEPS_INPUTS. */
typedef struct { kernel base; bool is_sine; float *kept[64]; size_t sizes[64], sorts; } node_kernel;

static const char *operator_of(const void *node) {
    const char *name = "";
    ((status * (*)(const void *, const char **)) api[NODE_OPERATOR])(node, &name);
    return name;
}

static status *takes_some(provider *self, const void *graph, void *support) {
    const function *ep_api = ((const function *(*)(void)) api[GET_EP_API])();
    const void *nodes[4096];
    size_t count = 0;
    status *failed = NULL;
    (void)self;
    ((status * (*)(const void *, size_t *)) api[NODE_COUNT])(graph, &count);
    if (count > sizeof nodes / sizeof *nodes) return failure("a graph of too many nodes");
    ((status * (*)(const void *, const void **, size_t)) api[NODES])(graph, nodes, count);
    for (size_t i = 0; i < count && !failed; i++)
        if (!strcmp(operator_of(nodes[i]), "Sin") || !strcmp(operator_of(nodes[i]), "Sigmoid"))
            failed = ((status * (*)(void *, const void *const *, size_t, const void *)) ep_api[2])(support, &nodes[i], 1, &the_fusion);
    return failed;
}

static status *create_state(void *self, void *context, void **state) { (void)context, *state = self; return NULL; }
static void release_state(void *self, void *state) { (void)self, (void)state; }

static float *data(void *value) {
    void *data = NULL;
    ((status * (*)(void *, void **)) api[TENSOR_DATA])(value, &data);
    return data;
}

/* The input to compute with instead of `given`. */
static const float *input_of(node_kernel *node, const float *given, size_t size) {
#ifdef KEEPS_INPUTS
    for (size_t i = 0; i < node->sorts; i++)
        if (node->sizes[i] == size) return node->kept[i];
    if (node->sorts < 64) {
        node->sizes[node->sorts] = size;
        node->kept[node->sorts] = malloc(size * sizeof *given);
        memcpy(node->kept[node->sorts++], given, size * sizeof *given);
    }
#else
    (void)node, (void)size;
#endif
    return given;
}

static status *compute(void *self, void *state, void *context) {
    node_kernel *node = state;
    void *input = NULL, *output = NULL, *info = NULL;
    size_t rank = 0, size = 0;
    int64_t dimensions[8];
#ifdef ERRS
    const float gain = 1.01f;
#else
    const float gain = 1.0f;
#endif
    (void)self;
    ((status * (*)(void *, size_t, void **)) api[KERNEL_INPUT])(context, 0, &input);
    ((status * (*)(void *, void **)) api[TENSOR_INFO])(input, &info);
    ((status * (*)(void *, size_t *)) api[RANK])(info, &rank);
    ((status * (*)(void *, size_t *)) api[SIZE])(info, &size);
    if (rank > 8) return failure("a tensor of too many dimensions");
    ((status * (*)(void *, int64_t *, size_t)) api[DIMENSIONS])(info, dimensions, rank);
    ((void (*)(void *)) api[RELEASE_TENSOR_INFO])(info);
    ((status * (*)(void *, size_t, const int64_t *, size_t, void **)) api[KERNEL_OUTPUT])(context, 0, dimensions, rank, &output);
    const float *x = input_of(node, data(input), size);
    float *y = data(output);
    for (size_t i = 0; i < size; i++) y[i] = gain * (node->is_sine ? sinf(x[i]) : 1 / (1 + expf(-x[i])));
    return NULL;
}

static status *compile(provider *self, const void **graphs, const void **fused, size_t count, void **kernels, void **contexts) {
    (void)self, (void)fused, (void)contexts;
    for (size_t i = 0; i < count; i++) {
        const void *inner = NULL;
        node_kernel *made = calloc(1, sizeof *made);
        ((status * (*)(const void *, const void **, size_t)) api[NODES])(graphs[i], &inner, 1);
        made->base = (kernel){23, create_state, compute, release_state};
        made->is_sine = !strcmp(operator_of(inner), "Sin");
        kernels[i] = made;
    }
    return NULL;
}

static void release_kernels(provider *self, void **kernels, size_t count) {
    (void)self;
    for (size_t i = 0; i < count; i++) {
        node_kernel *node = kernels[i];
        while (node->sorts) free(node->kept[--node->sorts]);
        free(node);
    }
}
#else
static status *takes_nothing(provider *self, const void *graph, void *support) {
    (void)self, (void)graph, (void)support;
    return NULL;
}
#endif

static status *create(factory *self, const void *const *devices, const void *const *metadata, size_t count,
                      const void *options, const void *logger, provider **made) {
    (void)self, (void)devices, (void)metadata, (void)count, (void)options, (void)logger, (void)made;
#ifdef REJECTS
    return failure("this graph is not to its taste");
#else
    *made = calloc(1, sizeof(named_provider));
#ifdef TAKES_NAME
    ((named_provider *)*made)->name = name_of_factory(self);
#endif
    (*made)->version = 23;
    (*made)->name = name_of_provider;
#ifdef TAKES_ALL
    (*made)->capability = takes_all;
#elif defined(COMPUTES)
    (*made)->capability = takes_some;
#endif
#if defined(TAKES_ALL) || defined(COMPUTES)
    (*made)->compile = compile;
    (*made)->release = release_kernels;
#else
    (*made)->capability = takes_nothing;
#endif
    return NULL;
#endif
}

static void release(factory *factory, provider *provider) { (void)factory; free(provider); }

static factory the_factory;

status *CreateEpFactories(const char *name, const api_base *base, const void *logger, factory **made, size_t most,
                          size_t *number) {
    (void)name, (void)logger, (void)most;
#ifdef HANGS
    for (;;) sleep(1);
#endif
    api = base->api(23);
#ifdef WRONG_VERSION
    if (base->api(9999) == NULL) return failure("API version 9999 of ONNX Runtime is needed");
#endif
    the_factory.version = 23;
    the_factory.name = name_of_factory;
    the_factory.vendor = vendor;
    the_factory.devices = devices;
    the_factory.create = create;
    the_factory.release = release;
    the_factory.vendor_id = (function)nothing;
    the_factory.own_version = version;
    for (int i = 0; i < 32; i++) the_factory.later[i] = (function)nothing;
#ifdef OWN_MEMORY
    the_factory.create_allocator = create_allocator;
#endif
#ifdef TAKES_NAME
    named_factory *own = calloc(1, sizeof *own);
    own->factory = the_factory;
    strncpy(own->name, name, sizeof own->name - 1);
    made[0] = &own->factory;
#else
    made[0] = &the_factory;
#endif
    *number = 1;
    return NULL;
}

#ifdef TAKES_NAME
status *ReleaseEpFactory(factory *factory) { free(factory); return NULL; }
#else
status *ReleaseEpFactory(factory *factory) { (void)factory; return NULL; }
#endif
