//! The optional enhancer after a codec, which raises the rate and adds channels (the paper's enhancement VAE).

use ort::value::Tensor;

use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::package::EnhancerConfig;
use crate::runtime::{Fixing, Graph, GraphLoader, Port, check_finite};

/// An enhancer graph.
pub(crate) struct Enhancer {
    graph: Graph,
    config: EnhancerConfig,
}

impl Enhancer {
    /// Loads the enhancer that `config` describes.
    pub(crate) fn load(loader: &GraphLoader, config: &EnhancerConfig) -> Result<Self> {
        let inputs = [Port::float("audio_values", &[None, Some(1), None])];
        let outputs = [Port::float("enhanced_values", &[None, Some(config.channels), None])];
        let fixing = Fixing::Impossible("an enhancer hears the whole sound, which cannot be padded or cut");
        let graph = loader.load(&config.graph, &inputs, &outputs, &fixing)?;
        Ok(Self { graph, config: config.clone() })
    }

    /// Enhances `sound`, the output of the codec's decoder.
    pub(crate) fn enhance(&self, sound: &Waveform) -> Result<Waveform> {
        let failed = |e| self.graph.failed(&e);
        let samples = sound.to_mono().samples().to_vec();
        let input = Tensor::from_array(([1, 1, samples.len()], samples)).map_err(failed)?;
        let [enhanced] = self.graph.run([("audio_values", input.into())], ["enhanced_values"])?;
        let enhanced = enhanced.try_extract_tensor::<f32>().map_err(failed)?.1;
        let len = enhanced.len() / self.config.channels;
        if len == 0 {
            return Err(Error::new(ErrorKind::Graph, format!("{}: the output has no samples", self.config.graph)));
        }
        check_finite(&self.config.graph, "sample of channel", enhanced, len)?;
        let channels = enhanced.chunks_exact(len).map(<[f32]>::to_vec).collect();
        Waveform::new(channels, self.config.sampling_rate)
    }
}
