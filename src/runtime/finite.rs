//! Checks that the inputs and outputs of graphs are finite.

use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};

/// Returns `sound` if all its samples are finite.
pub(crate) fn check_finite_sound(sound: &Waveform) -> Result<&Waveform> {
    for (channel, samples) in sound.channels().iter().enumerate() {
        if let Some((at, sample)) = samples.iter().enumerate().find(|(_, sample)| !sample.is_finite()) {
            let what = format!("sample {at} of channel {channel} is {sample}; expected finite numbers");
            return Err(Error::new(ErrorKind::Audio, what));
        }
    }
    Ok(sound)
}

/// Checks that `values`, rows of `columns` that `graph` returned as `what`, contain no NaN and no infinity.
pub(crate) fn check_finite(graph: &str, what: &str, values: &[f32], columns: usize) -> Result<()> {
    // no early exit, so that the compiler vectorizes the loop
    if !values.iter().fold(false, |wrong, value| wrong | !value.is_finite()) {
        return Ok(());
    }
    let found = values.iter().enumerate().find(|(_, value)| !value.is_finite());
    let (at, value) = found.unwrap_or((0, &f32::NAN));
    let row = at / columns.max(1);
    let column = at % columns.max(1);
    let what = format!("{graph}: {what} {row}, {column} is {value}; expected finite numbers");
    Err(Error::new(ErrorKind::Numeric, what))
}
