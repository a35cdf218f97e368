/* For the tests of Windows (test_windows.py), a program:
 *
 *     tool hold FILE              keeps FILE open, for itself but for readers, until a line comes
 *     tool break PROGRAM ...      runs PROGRAM, sends it Ctrl-Break when a line comes, and ends with its exit code
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

static void wait_for_line(void) {
    char line[8];
    (void)!fgets(line, sizeof line, stdin);
}

static int hold(const wchar_t *file) {
    HANDLE held = CreateFileW(file, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (held == INVALID_HANDLE_VALUE) return 1;
    puts("held");
    fflush(stdout);
    wait_for_line();
    CloseHandle(held);
    return 0;
}

/* The program's name and arguments have no quotation marks in them. */
static int run_and_break(int count, wchar_t **words) {
    static wchar_t command[8192];
    for (int word = 0; word < count; word++) {
        if (wcslen(command) + wcslen(words[word]) + 4 > sizeof command / sizeof *command) return 1;
        wcscat(wcscat(wcscat(command, L"\""), words[word]), L"\" ");
    }
    if (!GetConsoleCP()) AllocConsole();
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    STARTUPINFOW start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
    start.hStdInput = CreateFileW(L"NUL", GENERIC_READ, 3, &inherited, OPEN_EXISTING, 0, NULL);
    start.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    PROCESS_INFORMATION child;
    if (!CreateProcessW(NULL, command, NULL, NULL, TRUE, CREATE_NEW_PROCESS_GROUP, NULL, NULL, &start, &child)) {
        fprintf(stderr, "not started: error %lu\n", GetLastError());
        return 1;
    }
    wait_for_line();
    if (!GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, child.dwProcessId)) fprintf(stderr, "not sent: error %lu\n", GetLastError());
    DWORD code = 1;
    if (WaitForSingleObject(child.hProcess, 120000) != WAIT_OBJECT_0) TerminateProcess(child.hProcess, 99);
    GetExitCodeProcess(child.hProcess, &code);
    return (int)code;
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
    if (count > 2 && !wcscmp(words[1], L"break")) return run_and_break(count - 2, words + 2);
    if (count == 4 && !wcscmp(words[1], L"load")) return load(words[2], words[3]);
    return 2;
}
#endif
