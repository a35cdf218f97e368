// Generates a sound from a description and streams it in chunks: stream PACKAGE PROMPT OUT.wav [SEED]
#include <iostream>
#include <string>
#include <ualm.hpp>
#include <vector>

namespace {

/// The samples so far. A player would play the chunks instead.
struct Recorder {
    std::vector<float> samples;
    std::uint32_t sample_rate = 0;

    bool hear(const ualm::event &event) {
        if (const auto chunk = event.audio()) {
            samples.insert(samples.end(), chunk->data().begin(), chunk->data().end());
            sample_rate = chunk->sample_rate();
            std::cerr << "chunk of " << chunk->seconds() << " s\n";
        }
        return true; // false would stop
    }
};

/// Generates and writes the sound; value() throws ualm::bad_result on failure.
void stream(const std::string &package, const std::string &words, const std::string &out, std::uint64_t seed) {
    const auto model = ualm::model::load(package).value();
    auto session = model.new_session().value();
    auto prompt = ualm::prompt::create().value();
    prompt.add_text(UALM_ROLE_USER, words).value();
    auto options = model.options().value();
    options.force({UALM_MODALITY_AUDIO}).max_segments(1).seed(seed).stream_audio(true);

    Recorder recorder;
    session.generate(prompt, options, [&](const ualm::event &event) { return recorder.hear(event); }).value();
    if (recorder.samples.empty()) {
        std::cerr << "the model ended before there was any sound; try another seed\n";
        return;
    }
    const ualm::samples sound({recorder.samples.data(), recorder.samples.size()}, 1, recorder.sample_rate);
    ualm::write_wav(out, sound, UALM_WAV_FORMAT_FLOAT32).value();
    std::cout << out << ": " << sound.seconds() << " s\n";
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) {
        std::cerr << "usage: " << argv[0] << " PACKAGE PROMPT OUT.wav [SEED]\n";
        return 2;
    }
    try {
        stream(argv[1], argv[2], argv[3], argc == 5 ? std::stoull(argv[4]) : 0);
        return 0;
    } catch (const ualm::bad_result &failure) {
        std::cerr << "error (" << ualm_status_name(failure.why().status) << "): " << failure.what() << '\n';
        return 1;
    } catch (const std::exception &failure) { // the seed is not a number
        std::cerr << "error: " << failure.what() << '\n';
        return 2;
    }
}
