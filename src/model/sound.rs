//! Sound through the audio encoder, the codecs and the enhancers.

use ndarray::Array2;

use super::Model;
use crate::audio::Waveform;
use crate::codec::PackageCodec;
use crate::error::Result;
use crate::generate::Segment;
use crate::limits::check_seconds;
use crate::modality::Modality;
use crate::package::CodecConfig;
use crate::token::Codes;

impl Model {
    /// Returns the sound modalities that the package can make, in order, each with its codec.
    pub fn sounds(&self) -> impl Iterator<Item = (Modality, &CodecConfig)> {
        let manifest = self.manifest();
        manifest.modalities.keys().filter_map(|modality| Some((*modality, manifest.codec(*modality)?.1)))
    }

    /// Encodes `sound` into language-model features, shape [positions, hidden size].
    ///
    /// # Errors
    /// The package cannot listen; sound that is too long or cannot be encoded.
    pub fn audio_features(&self, sound: &Waveform) -> Result<Array2<f32>> {
        check_seconds(sound, self.input_seconds())?;
        let encoder = self.audio_encoder()?.ok_or_else(|| self.lacks("audio encoder: it cannot listen"))?;
        encoder.encode(sound, &self.cancel)
    }

    /// Encodes `sound` to codes of `modality`, shape [books, frames].
    ///
    /// # Errors
    /// The modality has no codec, or one without an encoder; sound that is too long or cannot be encoded.
    pub fn encode_codes(&self, modality: Modality, sound: &Waveform) -> Result<Codes> {
        check_seconds(sound, self.input_seconds())?;
        self.codec(modality)?.encode(sound)
    }

    /// Decodes `codes` of `modality`, shape [books, frames].
    ///
    /// # Errors
    /// The modality has no codec; another number of books, or a code outside its codebook.
    pub fn decode_codes(&self, modality: Modality, codes: &Codes) -> Result<Waveform> {
        self.codec(modality)?.decode(codes, self.limits.cache_bytes())
    }

    pub(crate) fn codec(&self, modality: Modality) -> Result<&PackageCodec> {
        let found = self.manifest().codec(modality).and_then(|(name, _)| self.inner.codecs.get(name));
        found.map(|codec| &**codec).ok_or_else(|| self.lacks(&format!("codec for {modality}")))
    }

    /// Enhances sound of `modality`; returns `None` when the package has no enhancer for it.
    ///
    /// # Errors
    /// The enhancer cannot be loaded, or fails.
    pub fn enhance(&self, modality: Modality, sound: &Waveform) -> Result<Option<Waveform>> {
        let Some((name, _)) = self.manifest().enhancer(modality) else { return Ok(None) };
        self.enhancer(name)?.map(|enhancer| enhancer.enhance(sound)).transpose()
    }

    /// Returns the sound of `segment`, enhanced if the package has an enhancer for its modality: empty for a segment too
    /// short to hold sound, `None` for a text segment.
    ///
    /// # Errors
    /// The enhancer cannot be loaded, or failed.
    pub fn heard(&self, segment: &Segment) -> Result<Option<Waveform>> {
        match &segment.audio {
            Some(sound) if !sound.is_empty() => {
                Ok(Some(self.enhance(segment.modality, sound)?.unwrap_or_else(|| sound.clone())))
            }
            other => Ok(other.clone()),
        }
    }
}
