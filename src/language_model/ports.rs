//! The inputs and outputs of the `llm` graph and of its other forms.

use crate::package::AttentionConfig;
use crate::runtime::Port;

/// The inputs and outputs of the graph.
#[derive(Clone)]
pub(super) struct Ports {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

impl Ports {
    pub(super) fn new(hidden_size: usize, attention: &AttentionConfig) -> Self {
        let hidden = Some(hidden_size);
        let cache = [None, Some(attention.heads), None, Some(attention.head_size)];
        let mut inputs = vec![
            Port::float("inputs_embeds", &[None, None, hidden]),
            Port::int32("seqlens_k", &[None]),
            Port::int32("total_sequence_length", &[]),
        ];
        let mut outputs = vec![Port::float("hidden_states", &[None, None, hidden])];
        for layer in 0..attention.layers {
            for part in ["key", "value"] {
                inputs.push(Port::float_or_half(format!("past_key_values.{layer}.{part}"), &cache));
                outputs.push(Port::float_or_half(format!("present.{layer}.{part}"), &cache));
            }
        }
        Self { inputs, outputs }
    }
}
