//! The sizes of the dimensions of graphs with fixed shapes.

use std::collections::BTreeMap;

use ort::session::Session;
use ort::value::ValueType;

use crate::provider::Shapes;

/// Sizes of dimensions by their names in a graph, empty where shapes are dynamic.
pub(crate) type Sizes = BTreeMap<String, usize>;

/// The fixed shapes of a graph, for providers that need fixed shapes.
pub(crate) enum Fixing {
    /// The sizes, by the names of the dimensions.
    Sizes(Vec<(&'static str, Size)>),
    /// None, for this reason: a main clause.
    Impossible(&'static str),
}

/// The size of a dimension.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    /// This size.
    Of(usize),
    /// The maximum number of positions of a sequence on the provider, and at most this number.
    Positions(usize),
}

impl Fixing {
    /// Returns the sizes for `shapes`.
    ///
    /// # Errors
    /// The reason why the shapes cannot be fixed, with the provider as its subject.
    pub(super) fn sizes(&self, shapes: Shapes) -> Result<Sizes, String> {
        match (shapes, self) {
            (Shapes::Dynamic, _) => Ok(Sizes::new()),
            (Shapes::Fixed { .. }, Self::Impossible(why)) => Err(format!("it wants fixed shapes, but {why}")),
            (Shapes::Fixed { positions }, Self::Sizes(sizes)) => Ok(sizes
                .iter()
                .map(|(name, size)| match size {
                    Size::Of(size) => ((*name).to_owned(), *size),
                    Size::Positions(max) => ((*name).to_owned(), positions.min(*max)),
                })
                .collect()),
        }
    }
}

/// Checks that every dimension of the inputs of `session` has a size.
///
/// # Errors
/// The reason why shapes stay open, with the provider as its subject.
pub(super) fn check_fixed(session: &Session) -> Result<(), String> {
    let is_open = |port: &ort::value::Outlet| match port.dtype() {
        ValueType::Tensor { shape, .. } => shape.iter().any(|size| *size < 0),
        _ => true,
    };
    match session.inputs().iter().find(|port| is_open(port)) {
        None => Ok(()),
        Some(port) => {
            let what = "its dimensions do not have the names of the contract (onnx/README.md)";
            Err(format!("it wants fixed shapes, but the shape of the input {:?} stays open: {what}", port.name()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_graph_within_the_positions_of_a_sequence() {
        let fixing = Fixing::Sizes(vec![("batch", Size::Of(1)), ("capacity", Size::Positions(512))]);
        assert_eq!(fixing.sizes(Shapes::Dynamic), Ok(Sizes::new()));
        for (positions, capacity) in [(100, 100), (4096, 512)] {
            let expected = Sizes::from([("batch".to_owned(), 1), ("capacity".to_owned(), capacity)]);
            assert_eq!(fixing.sizes(Shapes::Fixed { positions }), Ok(expected));
        }
        let impossible = Fixing::Impossible("it hears the whole sound");
        assert_eq!(impossible.sizes(Shapes::Dynamic), Ok(Sizes::new()));
        let why = impossible.sizes(Shapes::Fixed { positions: 100 }).unwrap_err();
        assert_eq!(why, "it wants fixed shapes, but it hears the whole sound");
    }
}
