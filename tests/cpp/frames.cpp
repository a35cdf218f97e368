// The same as frames.c with the C++ wrapper: frames PACKAGE PROMPT SEED
#include <cstdio>
#include <cstdlib>
#include <ualm.hpp>

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const auto model = ualm::model::load(argv[1]).value();
    auto prompt = ualm::prompt::create().value();
    prompt.add_text(UALM_ROLE_USER, argv[2]).value();
    auto options = model.options().value();
    options.force({UALM_MODALITY_AUDIO}).max_segments(1).seed(std::strtoull(argv[3], nullptr, 10));
    const auto reply = model.new_session()->generate(prompt, options).value();
    const auto segment = reply[0];
    for (std::size_t index = 0; index < segment.frame_count(); index++) {
        const char *before = index ? ",[" : "[[";
        for (const auto id : segment.frame(index)) {
            std::printf("%s%lu", before, static_cast<unsigned long>(id));
            before = ",";
        }
        std::printf("]");
    }
    std::puts("]");
}
