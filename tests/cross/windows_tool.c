/* For the tests of Windows (test_windows.py), a program:
 *
 *     tool hold FILE              keeps FILE open, for itself but for readers, until a line comes
 *     tool load DLL PACKAGE       loads the package by the C library in DLL
 *
 * or with -DOLD, -DOTHER, -DNEEDING a DLL: an old ONNX Runtime, no ONNX Runtime, one that needs the DLL made with -DOTHER.
 */
#include <stddef.h>

#if defined(OLD) || defined(NEEDING)
#ifdef NEEDING
__declspec(dllimport) int nothing_of_onnx_runtime(void);
#endif

typedef struct {
    const void *(*api)(unsigned version);
    const char *(*version)(void);
} Base;

static const void *no_api(unsigned version) {
    (void)version;
    return NULL;
}

static const char *version(void) {
#ifdef NEEDING
    if (nothing_of_onnx_runtime()) return "0.0.0";
#endif
    return "1.17.1";
}

static const Base BASE = {no_api, version};

__declspec(dllexport) const Base *OrtGetApiBase(void) { return &BASE; }
#elif defined(OTHER)
__declspec(dllexport) int nothing_of_onnx_runtime(void) { return 0; }
#else
#include <stdio.h>
#include <wchar.h>
#include <windows.h>

static int hold(const wchar_t *file) {
    HANDLE held = CreateFileW(file, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (held == INVALID_HANDLE_VALUE) return 1;
    puts("held");
    fflush(stdout);
    char line[8];
    (void)!fgets(line, sizeof line, stdin);
    CloseHandle(held);
    return 0;
}

static int load(const wchar_t *library, const wchar_t *package) {
    typedef int (*Load)(const char *, const void *, void **);
    typedef const char *(*LastError)(void);
    HMODULE dll = LoadLibraryExW(library, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
    if (!dll) {
        fprintf(stderr, "not loaded: error %lu\n", GetLastError());
        return 1;
    }
    Load model_load = (Load)(void *)GetProcAddress(dll, "ualm_model_load");
    LastError last_error = (LastError)(void *)GetProcAddress(dll, "ualm_last_error");
    char folder[4096];
    void *model = NULL;
    if (!model_load || !last_error || !WideCharToMultiByte(CP_UTF8, 0, package, -1, folder, sizeof folder, NULL, NULL)) return 1;
    int status = model_load(folder, NULL, &model);
    puts(status ? last_error() : "loaded");
    return status != 0;
}

int wmain(int count, wchar_t **words) {
    if (count == 3 && !wcscmp(words[1], L"hold")) return hold(words[2]);
    if (count == 4 && !wcscmp(words[1], L"load")) return load(words[2], words[3]);
    return 2;
}
#endif
