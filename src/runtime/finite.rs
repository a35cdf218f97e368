//! Checks that numbers are finite, on their way into a graph and out of it.

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

/// Refuses `values`, rows of `columns` that `graph` gave as `what`, when they hold NaN or an infinity.
pub(crate) fn check_finite(graph: &str, what: &str, values: &[f32], columns: usize) -> Result<()> {
    // without an early end, so that it is done many values at a time
    if !values.iter().fold(false, |wrong, value| wrong | !value.is_finite()) {
        return Ok(());
    }
    let found = values.iter().enumerate().find(|(_, value)| !value.is_finite());
    let (at, value) = found.unwrap_or((0, &f32::NAN));
    let (row, column) = (at / columns.max(1), at % columns.max(1));
    let what = format!("{graph}: {what} {row}, {column} is {value}; expected finite numbers");
    Err(Error::new(ErrorKind::Numeric, what))
}
