//! Encoder features in a record: little-endian floats in Base64, which keep every bit.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::prompt::FeatureSlot;

/// The JSON form of a feature slot.
#[derive(Serialize, Deserialize)]
pub(super) struct WrittenFeatures {
    start: usize,
    rows: usize,
    columns: usize,
    data: String,
}

impl From<&FeatureSlot> for WrittenFeatures {
    fn from(slot: &FeatureSlot) -> Self {
        let bytes: Vec<u8> = slot.features.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (rows, columns) = slot.features.dim();
        Self { start: slot.start, rows, columns, data: STANDARD.encode(bytes) }
    }
}

impl WrittenFeatures {
    /// Returns the slot, or a description of the defect.
    pub(super) fn read(&self) -> Result<FeatureSlot, String> {
        let bytes = STANDARD.decode(&self.data).map_err(|e| format!("features are not Base64: {e}"))?;
        let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err("features hold a number that is not finite".into());
        }
        let found = values.len();
        let wrong = |_| format!("features of {} × {} were expected, {found} numbers found", self.rows, self.columns);
        let features = Array2::from_shape_vec((self.rows, self.columns), values).map_err(wrong)?;
        Ok(FeatureSlot { start: self.start, features: Arc::new(features) })
    }
}
