//! The optional enhancer after the codec: 16 kHz mono to 48 kHz stereo (the paper's enhancement VAE).

use ort::value::Tensor;

use super::session::{Graph, Port};
use super::{GraphLoader, check_finite};
use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::package::{EnhancerConfig, Manifest};

/// The `enhancer` graph.
pub struct Enhancer {
    graph: Graph,
    config: EnhancerConfig,
}

impl Enhancer {
    /// Loads the enhancer of a package.
    pub fn load(loader: &GraphLoader, manifest: &Manifest, config: &EnhancerConfig) -> Result<Self> {
        let inputs = [Port::float("audio_values", &[None, Some(1), None])];
        let outputs = [Port::float("enhanced_values", &[None, Some(config.channels), None])];
        let graph = loader.load("enhancer", manifest.graph("enhancer")?, &inputs, &outputs)?;
        Ok(Self { graph, config: config.clone() })
    }

    /// The enhanced sound of `sound`, which comes from the codec's decoder.
    pub fn enhance(&self, sound: &Waveform) -> Result<Waveform> {
        let failed = |e| self.graph.failed(&e);
        let samples = sound.to_mono().samples().to_vec();
        let input = Tensor::from_array(([1, 1, samples.len()], samples)).map_err(failed)?;
        let [enhanced] = self.graph.run([("audio_values", input.into())], ["enhanced_values"])?;
        let enhanced = enhanced.try_extract_tensor::<f32>().map_err(failed)?.1;
        let len = enhanced.len() / self.config.channels;
        if len == 0 {
            return Err(Error::new(ErrorKind::Graph, "enhancer: no samples came out"));
        }
        check_finite("enhancer", "sample of channel", enhanced, len)?;
        let channels = enhanced.chunks_exact(len).map(<[f32]>::to_vec).collect();
        Waveform::new(channels, self.config.sampling_rate)
    }
}
