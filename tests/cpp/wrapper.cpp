// Every class of the C++ wrapper: wrapper PACKAGE
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <ualm.hpp>

#define CHECK(condition)                                                                                          \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            std::fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition, ualm_last_error()); \
            std::exit(1);                                                                                         \
        }                                                                                                         \
    } while (0)

static_assert(std::is_move_constructible_v<ualm::session> && !std::is_copy_constructible_v<ualm::session>);

namespace {

ualm::prompt words(const std::string &text) {
    auto prompt = ualm::prompt::create().value();
    prompt.add_text(UALM_ROLE_USER, text).value();
    return prompt;
}

void errors_are_values(const ualm::model &model) {
    const auto none = ualm::model::load("no/such/package");
    CHECK(!none && none.error().status == UALM_STATUS_PACKAGE);
    CHECK(none.error().message.find("no model package") != std::string::npos);
    try {
        ualm::model::load("no/such/package").value();
        CHECK(false);
    } catch (const ualm::bad_result &failure) {
        CHECK(failure.why().status == UALM_STATUS_PACKAGE && std::string(failure.what()) == failure.why().message);
    }
    auto prompt = words("rain");
    const auto refused = prompt.add_text(UALM_ROLE_USER, "\xff");
    CHECK(!refused && refused.error().status == UALM_STATUS_INVALID);
    auto options = model.options().value();
    options.max_segments(0);
    CHECK(!model.new_session()->generate(prompt, options));
    CHECK(!ualm::audio::read("no/such/file.wav"));
}

void a_reply_is_told_and_given(const ualm::model &model, ualm::options options) {
    auto session = model.new_session().value();
    std::size_t steps = 0, segments = 0;
    const auto reply = session.generate(words("rain"), options, [&](const ualm::event &event) {
        if (event.kind() == UALM_EVENT_KIND_AUDIO_PROGRESS) CHECK(event.seconds() >= 0);
        if (const auto segment = event.segment()) {
            segments++;
            CHECK(segment->audio() && segment->text().empty() && segment->modality() == UALM_MODALITY_AUDIO);
        }
        if (event.usage()) steps = event.usage()->steps;
        return true;
    });
    CHECK(reply && segments == 1 && reply->size() == 1 && reply->text().empty() && reply->audio());
    const auto segment = (*reply)[0];
    CHECK(steps == segment.frame_count() && reply->usage().steps == steps && segment.frame(0).size() == 8);
    CHECK(session.position().value() > steps);
    auto speak = options;
    speak.force({UALM_MODALITY_TEXT});
    const auto said = session.generate(words("what is it?"), speak);
    CHECK(said && !said->audio() && said->text() == (*said)[0].text());
}

void events_are_pulled(const ualm::model &model, const ualm::options &options) {
    auto session = model.new_session().value();
    auto generation = session.start(words("rain"), options).value();
    CHECK(session.position().error().status == UALM_STATUS_BUSY);
    const auto first = generation.next().value();
    CHECK(first && first->kind() == UALM_EVENT_KIND_SEGMENT_STARTED && first->modality() == UALM_MODALITY_AUDIO);
    generation.stop();
    ualm_segment_end end = UALM_SEGMENT_END_EOS;
    while (const auto event = generation.next().value())
        if (const auto segment = event->segment()) end = segment->end();
    CHECK(end == UALM_SEGMENT_END_CANCELLED);
    CHECK(session.position());
}

void stopping(const ualm::model &model, const ualm::options &options) {
    auto session = model.new_session().value();
    const auto prompt = words("rain");
    const auto stopped = session.generate(prompt, options, [](const ualm::event &) { return false; });
    CHECK(stopped && (*stopped)[0].end() == UALM_SEGMENT_END_CANCELLED);
    try {
        const auto throwing = [](const ualm::event &) -> bool { throw std::runtime_error("enough"); };
        (void)session.generate(prompt, options, throwing);
        CHECK(false);
    } catch (const std::runtime_error &thrown) {
        CHECK(std::string(thrown.what()) == "enough");
    }
    auto cancel = ualm::cancel::create().value();
    std::thread([&] { cancel.request(); }).join();
    CHECK(cancel.is_requested());
    CHECK(session.generate(prompt, options, nullptr, &cancel)->size() == 0);
}

void engines_and_forks(const ualm::model &model, const ualm::options &options) {
    const auto engine = model.new_engine(4, 200).value();
    auto session = engine.new_session(options).value();
    CHECK(engine.context() == 200 && session.max_positions() == 200 && engine.stats().sessions == 1);
    const auto place = session.run(words("rain")).value();
    auto fork = session.fork(place).value();
    const auto left = session.generate(place, options).value(), right = fork.generate(place, options).value();
    CHECK(left[0].frame_count() == right[0].frame_count() && engine.stats().steps > 0);
    CHECK(model.new_engine(0).error().status == UALM_STATUS_INVALID);
}

void the_codec_and_files(const ualm::model &model, const std::string &file) {
    std::vector<float> silence(2 * 16000);
    const ualm::samples stereo({silence.data(), silence.size()}, 2, 16000);
    CHECK(stereo.frames() == 16000 && stereo.seconds() == 1);
    const auto codes = model.encode(stereo).value();
    CHECK(codes.streams() == 8 && codes.frames() == 50 && codes.data().size() == 400);
    const auto sound = model.decode(codes.data(), codes.streams()).value();
    CHECK(sound.samples().frames() > 0 && sound.samples().channels() == 1);
    CHECK(!model.enhance(stereo).value());
    ualm::write_wav(file, sound.samples(), UALM_WAV_FORMAT_FLOAT32).value();
    const auto back = ualm::audio::read(file, 60).value();
    CHECK(back.samples().frames() == sound.samples().frames() && back.warnings().empty());
    auto prompt = words("what is it?");
    prompt.add_audio(UALM_ROLE_USER, UALM_MODALITY_SPEECH, back.samples()).value();
}

void chains_and_takes(const ualm::model &model, const ualm::options &options) {
    auto taken = ualm::takes::make(model, words("rain"), options, 2, "rain", [](const auto &) { return true; });
    CHECK(taken && taken->size() == 2 && taken->segment(1) && !taken->segment(2) && taken->audio(1));
    CHECK((*taken->ranking())[1] && taken->record(0)->segments(0) == 1 && taken->usage().steps > 0);
    try {
        (void)ualm::takes::make(model, words("rain"), options, 2, "",
                                [](const auto &) -> bool { throw std::runtime_error("enough"); });
        CHECK(false);
    } catch (const std::runtime_error &thrown) {
        CHECK(std::string(thrown.what()) == "enough");
    }

    ualm::chain_options way;
    way.mode(UALM_REASONING_MODE_DIALOGUE).seed(3).takes(2, true);
    way.wording("{\"plan\": \"{words}\"}"); // invalid for a model that reasons in one reply
    auto chain = ualm::chain::begin(model, "rain", way, &options).value();
    CHECK(!chain.is_trained() && chain.size() == 4 && chain.stage(0) == UALM_STAGE_QUESTION);
    std::size_t ended = 0;
    while (const auto event = chain.next().value()) {
        if (event->kind() == UALM_TAKE_EVENT_KIND_QUESTION) chain.answer("on tin").value();
        if (event->kind() == UALM_TAKE_EVENT_KIND_STAGE_ENDED) {
            CHECK(event->segment());
            ended++;
        }
        if (event->stage() == UALM_STAGE_FINAL && event->segment()) CHECK(event->audio());
    }
    CHECK(ended == 3 && chain.segment(0) && !chain.segment(1) && chain.audio(3) && (*chain.ranking())[1]);

    auto engine = model.new_engine(2).value();
    auto resumed = ualm::chain::resume(engine, *chain.record(), 2).value();
    CHECK(resumed.set_plan("a steady rain"));
    while (resumed.next().value()) {}
    CHECK(resumed.segment(2)->text() == "a steady rain" && resumed.audio(3));
    resumed.stop();
    CHECK(!ualm::chain::resume(model, *chain.record(), 9));
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc == 3);
    const auto model = ualm::model::load(argv[1]).value();
    model.load_all().value();
    auto options = model.options().value();
    options.force({UALM_MODALITY_AUDIO}).max_segments(1).seed(1);
    options.audio().max_steps = options.text().max_steps = options.speech().max_steps = 12;
    errors_are_values(model);
    a_reply_is_told_and_given(model, options);
    events_are_pulled(model, options);
    stopping(model, options);
    engines_and_forks(model, options);
    chains_and_takes(model, options);
    the_codec_and_files(model, argv[2]);
    CHECK(model.manifest()->find("tokens") != std::string::npos);
    CHECK(ualm::runtime_report()->find("devices") != std::string::npos);
    ualm::runtime_options elsewhere;
    elsewhere.provider = "sorcery";
    elsewhere.provider_libraries = {"no/such/plugin.so"};
    CHECK(ualm::runtime_report(elsewhere)->find("no/such/plugin.so") != std::string::npos);
    CHECK(ualm::model::load(argv[1], elsewhere).error().status == UALM_STATUS_PROVIDER);
    ualm::runtime_options small;
    small.low_memory = true;
    auto limits = model.limits().value();
    limits.segments = 1;
    CHECK(ualm::model::load(argv[1], small)->with_limits(limits)->limits()->segments == 1);
    CHECK(ualm::model::load(argv[1])->report()->find("\"graph\":\"llm\"") != std::string::npos);
    return 0;
}
