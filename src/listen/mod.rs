//! Encoding of sound to features for the language model.

mod encoder;

pub(crate) use encoder::AudioEncoder;
