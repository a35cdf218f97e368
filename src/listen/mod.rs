//! Sound to the features that the language model hears.

mod encoder;

pub(crate) use encoder::AudioEncoder;
