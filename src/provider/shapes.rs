//! Fixed shapes: some providers take a graph only if the size of every dimension is known when it is loaded.

use super::Provider;

/// The option of a provider that this library reads itself: `yes`, `no`, or the positions of a sequence.
pub(super) const STATIC: &str = "static";

/// The maximum number of positions of a sequence with fixed shapes, unless the option sets another.
const USUAL_POSITIONS: usize = 4096;

/// The shapes of the graphs on a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shapes {
    /// Dimensions have any size, which may differ from run to run.
    Dynamic,
    /// Each dimension has one size, chosen when the graph is loaded; a sequence has room for at most `positions`.
    Fixed { positions: usize },
}

impl Shapes {
    /// Returns the shapes for the provider `asked`, on an NPU if `is_on_npu`.
    ///
    /// # Errors
    /// A part of a sentence, if the option cannot be read.
    pub(super) fn of(asked: &Provider, is_on_npu: bool) -> Result<Self, String> {
        let fixed = Self::Fixed { positions: USUAL_POSITIONS };
        match asked.option(STATIC).map(|value| (value, value.to_lowercase())) {
            None if is_needed(asked, is_on_npu) => Ok(fixed),
            None => Ok(Self::Dynamic),
            Some((value, lower)) => match (lower.as_str(), lower.parse()) {
                ("yes", _) => Ok(fixed),
                ("no", _) => Ok(Self::Dynamic),
                (_, Ok(positions)) if positions > 0 => Ok(Self::Fixed { positions }),
                _ => Err(format!("{STATIC}={value}: expected yes, no or a number of positions")),
            },
        }
    }
}

/// Returns whether a provider accepts only graphs with fixed shapes.
fn is_needed(asked: &Provider, is_on_npu: bool) -> bool {
    match asked.name() {
        "qnn" | "vitisai" => true,
        "coreml" => asked.option("RequireStaticInputShapes") == Some("1"),
        _ => is_npu_of_openvino(asked, is_on_npu),
    }
}

/// Returns whether OpenVINO is requested on an NPU, or has chosen one.
pub(super) fn is_npu_of_openvino(asked: &Provider, is_on_npu: bool) -> bool {
    match asked.name() {
        "openvino" => is_on_npu || asked.option("device_type").is_some_and(|device| device.contains("NPU")),
        name => name == "openvino.npu",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Providers;

    #[test]
    fn shapes_are_fixed_where_needed_or_requested() {
        let usual = Ok(Shapes::Fixed { positions: USUAL_POSITIONS });
        for (text, is_on_npu, expected) in [
            ("cpu", false, Ok(Shapes::Dynamic)),
            ("cpu:static=yes", false, usual.clone()),
            ("webgpu:static=NO", false, Ok(Shapes::Dynamic)),
            ("qnn", false, usual.clone()),
            ("qnn:static=512", true, Ok(Shapes::Fixed { positions: 512 })),
            ("QNNExecutionProvider:static=no", true, Ok(Shapes::Dynamic)),
            ("vitisai", true, usual.clone()),
            ("openvino", false, Ok(Shapes::Dynamic)),
            ("openvino", true, usual.clone()),
            ("openvino:device_type=HETERO:NPU", false, usual.clone()),
            ("coreml", true, Ok(Shapes::Dynamic)),
            ("coreml:RequireStaticInputShapes=1", true, usual),
            ("qnn:static=0", true, Err("static=0: expected yes, no or a number of positions".to_owned())),
            ("qnn:static=maybe", true, Err("static=maybe: expected yes, no or a number of positions".to_owned())),
        ] {
            let providers: Providers = text.parse().unwrap();
            assert_eq!(Shapes::of(&providers.of("llm")[0], is_on_npu), expected, "{text}");
        }
    }
}
