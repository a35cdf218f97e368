//! The preparation of sound for the audio encoder, by the package's manifest.

use ndarray::s;
use serde_json::{Value, json};
use tempfile::TempDir;
use ualm::Model;
use ualm::audio::Waveform;
use ualm_testing::{change_manifest, copied_package, skip_without_fixtures};

/// Loads the tiny package with another `audio_encoder` section.
fn model_with(change: fn(&mut Value)) -> Model {
    let folder = TempDir::new().unwrap();
    let copy = copied_package("tiny-afwhisper-fp32", &folder.path().join("package"));
    change_manifest(&copy, |manifest| change(&mut manifest["audio_encoder"]));
    let model = Model::load(&copy).unwrap();
    model.load_all().unwrap();
    model
}

fn hum(samples: usize, scale: f32) -> Waveform {
    let samples = (0..samples).map(|i| scale * 0.3 * (i as f32 * 0.05).sin() * (i as f32 * 1e-5).cos());
    Waveform::mono(samples.collect(), 16_000).unwrap()
}

#[test]
fn whole_windows_count_silence_too() {
    skip_without_fixtures!();
    let model = model_with(|encoder| encoder["rows"] = json!("whole_windows"));
    let window = 30 * 16_000;
    for (samples, rows) in [(0, 750), (1, 750), (window, 750), (window + 1, 1500)] {
        assert_eq!(model.audio_features(&hum(samples, 1.0)).unwrap().nrows(), rows, "{samples} samples");
    }
    let silence = Waveform::mono(vec![0.0], 16_000).unwrap();
    let none = Waveform::mono(Vec::new(), 44_100).unwrap();
    assert_eq!(model.audio_features(&none).unwrap(), model.audio_features(&silence).unwrap());

    let of_signal = model_with(|_| {});
    let second = of_signal.audio_features(&hum(16_000, 1.0)).unwrap();
    assert_eq!(second.nrows(), 25);
    assert_eq!(model.audio_features(&hum(16_000, 1.0)).unwrap().slice(s![..25, ..]), second);
    assert_eq!(of_signal.audio_features(&none).unwrap_err().kind(), ualm::ErrorKind::Audio);
}

/// Sound is scaled by the peak of the whole sound, which may be in another window.
#[test]
fn sound_is_scaled_to_a_peak_of_one() {
    skip_without_fixtures!();
    let limited = model_with(|encoder| encoder["limit_peak"] = json!(true));
    let plain = model_with(|_| {});
    let mut loud = hum(31 * 16_000, 1.0).samples().to_vec();
    loud[30 * 16_000 + 8000] = -2.0;
    let halves: Vec<_> = loud.iter().map(|sample| sample / 2.0).collect();
    let [loud, halves] = [loud, halves].map(|samples| Waveform::mono(samples, 16_000).unwrap());
    assert_eq!(limited.audio_features(&loud).unwrap(), plain.audio_features(&halves).unwrap());
    assert_eq!(limited.audio_features(&halves).unwrap(), plain.audio_features(&halves).unwrap());
    assert_ne!(plain.audio_features(&loud).unwrap(), plain.audio_features(&halves).unwrap());
}
