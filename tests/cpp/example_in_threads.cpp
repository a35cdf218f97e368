// Runs an example (EXAMPLE, its file) on six threads of one process, as example_in_threads.c does: example_in_threads ARGUMENT …
#define main example_main
#include EXAMPLE
#undef main

#include <atomic>
#include <thread>

int main(int argc, char **argv) {
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int number = 0; number < 6; number++) {
        threads.emplace_back([&, number] {
            std::vector<std::string> texts(argv, argv + argc);
            std::vector<char *> arguments;
            for (auto &text : texts) {
                if (const auto mark = text.find("{}"); mark != std::string::npos) text.replace(mark, 2, std::to_string(number));
                arguments.push_back(text.data());
            }
            failed |= example_main(argc, arguments.data());
        });
    }
    for (auto &thread : threads) thread.join();
    return failed;
}
