/* Enhancement by a package with an enhancer, and by one without: enhancer ENHANCED PLAIN */
#include "check.h"

static ualm_audio *enhance(const char *package, const ualm_samples *samples) {
    ualm_audio *audio = NULL;
    ualm_model *model = load(package);
    WORKS(ualm_model_enhance(model, samples, &audio));
    ualm_model_free(model);
    return audio;
}

int main(int argc, char **argv) {
    const float made[] = {0.5f, -0.25f};
    const ualm_samples samples = {made, 2, 1, 16000};
    ualm_audio *audio;
    const ualm_samples *better;
    CHECK(argc == 3);
    CHECK(enhance(argv[2], &samples) == NULL);
    audio = enhance(argv[1], &samples);
    better = ualm_audio_samples(audio);
    CHECK(better->frames == 6 && better->channels == 2 && better->sample_rate == 48000);
    for (size_t i = 0; i < better->frames; i++) {
        CHECK(better->data[2 * i] == made[i / 3]);
        CHECK(better->data[2 * i + 1] == -2 * made[i / 3]);
    }
    ualm_audio_free(audio);
    return 0;
}
