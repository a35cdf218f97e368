//! The buffers of a cache in the memory where its graph wants them, and copies of rows there.

use std::ops::Range;
use std::sync::Arc;

use ort::memory::Allocator;
use ort::value::Tensor;

use super::host::{self, Element};
use super::shape::{CacheShape, Row};
use crate::runtime::{Binding, DeviceTensor, Graph, Mover, bind_rows};

/// The parts of the cache of a layer, as ports name them.
const PARTS: [&str; 2] = ["key", "value"];

/// The buffers: key and value of layer 0, key and value of layer 1, and so on.
pub(super) enum Layers<T: Element> {
    Host(Vec<Tensor<T>>),
    Device(OnDevice<T>),
}

/// Buffers on a device.
pub(super) struct OnDevice<T: Element> {
    buffers: Vec<DeviceTensor<T>>,
    /// Moves rows on the device; without a mover, rows are copied to the host and back.
    mover: Option<Arc<Mover>>,
}

impl<T: Element> Layers<T> {
    /// Allocates the buffers of `rows` with room for `capacity` positions each, in the memory where `graph` wants them.
    pub(super) fn new(shape: CacheShape, rows: usize, capacity: usize, graph: &Graph) -> ort::Result<Self> {
        let dimensions = shape.dimensions(rows, capacity);
        let mut host = Vec::new();
        let mut device = Vec::new();
        for layer in 0..shape.layers {
            for part in PARTS {
                match graph.device_tensor(&format!("past_key_values.{layer}.{part}"), &dimensions)? {
                    None => host.push(Tensor::<T>::new(&Allocator::default(), dimensions)?),
                    Some(tensor) => device.push(tensor),
                }
            }
        }
        if device.is_empty() {
            return Ok(Self::Host(host));
        }
        if !host.is_empty() {
            return Err(ort::Error::new(
                "the graph wants a part of the cache on the host, and another part on a device",
            ));
        }
        let mover = reaching_mover(graph, &device, shape.head_size)?;
        Ok(Self::Device(OnDevice { buffers: device, mover }))
    }

    /// Binds `rows` of all buffers.
    ///
    /// # Safety
    /// `binding` must not be run after the buffers are dropped.
    #[allow(unsafe_code)]
    pub(super) unsafe fn bind(&mut self, binding: &mut Binding, rows: &Range<usize>) -> ort::Result<()> {
        let names = |index: usize| {
            let layer = index / 2;
            let part = PARTS[index % 2];
            [format!("past_key_values.{layer}.{part}"), format!("present.{layer}.{part}")]
        };
        match self {
            Self::Host(buffers) => {
                for (index, buffer) in buffers.iter_mut().enumerate() {
                    let [past, present] = names(index);
                    // SAFETY: the caller does not run `binding` after the buffers are dropped.
                    unsafe { bind_rows(binding, [&past, &present], buffer, rows)? };
                }
            }
            Self::Device(_) if rows.start > 0 => {
                return Err(ort::Error::new("a binding on a device begins at the first row"));
            }
            Self::Device(device) => {
                for (index, buffer) in device.buffers.iter().enumerate() {
                    let [past, present] = names(index);
                    // SAFETY: as above.
                    unsafe { buffer.bind_first_rows(binding, [&past, &present], rows.end)? };
                }
            }
        }
        Ok(())
    }

    /// Returns the buffers on a device with their mover; `None` if rows are moved on the host.
    fn movable(&self) -> Option<(&[DeviceTensor<T>], &Mover)> {
        match self {
            Self::Device(OnDevice { buffers, mover: Some(mover) }) => Some((buffers, mover)),
            _ => None,
        }
    }

    /// Copies `len` positions of a row of `other` to a row of these buffers.
    pub(super) fn copy_from(&mut self, other: &Self, from: Row, to: Row, len: usize) -> ort::Result<()> {
        if let (Some((buffers, mover)), Some((others, _))) = (self.movable(), other.movable()) {
            return mover.run(buffers, others, to.shape.head_size, &from.copy_moves(to, len));
        }
        other.read(|other| self.edit(|this| host::copy_between(other, from, this, to, len)))
    }

    /// Copies `len` positions of the row `from` to the row `to`.
    pub(super) fn copy_row(&mut self, from: Row, to: Row, len: usize) -> ort::Result<()> {
        if let Some((buffers, mover)) = self.movable() {
            return mover.run(buffers, buffers, from.shape.head_size, &from.copy_moves(to, len));
        }
        self.edit(|buffers| host::copy_within(buffers, from, to, len))
    }

    /// Swaps `len` positions of the rows `low` and `high`.
    pub(super) fn swap_rows(&mut self, low: Row, high: Row, len: usize) -> ort::Result<()> {
        if let Some((buffers, mover)) = self.movable() {
            return mover.run(buffers, buffers, low.shape.head_size, &low.swap_moves(high, len));
        }
        self.edit(|buffers| host::swap(buffers, low, high, len))
    }

    /// Fills `len` positions of a row with the one position of `one` (see [`host::repeat`]). For a device, the row is made on
    /// the host, and only this row is copied.
    pub(super) fn repeat(
        &mut self,
        one: &Self,
        to: Row,
        len: usize,
        place_key: &impl Fn(usize, &mut [f32]),
    ) -> ort::Result<()> {
        let Some((buffers, mover)) = self.movable().filter(|_| len > 0) else {
            return one.read(|one| self.edit(|this| host::repeat(one, this, to, len, place_key)));
        };
        let dimensions = to.shape.dimensions(1, len);
        let new = |_| Tensor::new(&Allocator::default(), dimensions);
        let mut rows = (0..buffers.len()).map(new).collect::<ort::Result<Vec<_>>>()?;
        let made = Row { capacity: len, index: 0, ..to };
        one.read(|one| {
            host::repeat(one, &mut rows, made, len, place_key);
            Ok(())
        })?;
        let moves = made.copy_moves(to, len);
        let staged = [mover.tensor(&dimensions)?];
        for (buffer, row) in buffers.chunks(1).zip(&rows) {
            staged[0].upload(row)?;
            mover.run(buffer, &staged, to.shape.head_size, &moves)?;
        }
        Ok(())
    }

    /// Calls `read` with the buffers on the host, or with copies of those on a device.
    fn read<R>(&self, read: impl FnOnce(&[Tensor<T>]) -> ort::Result<R>) -> ort::Result<R> {
        match self {
            Self::Host(buffers) => read(buffers),
            Self::Device(device) => read(&device.download()?),
        }
    }

    /// Calls `change` with the buffers on the host; those on a device are copied there and back.
    fn edit(&mut self, change: impl FnOnce(&mut [Tensor<T>])) -> ort::Result<()> {
        match self {
            Self::Host(buffers) => {
                change(buffers);
                Ok(())
            }
            Self::Device(device) => {
                let mut copies = device.download()?;
                change(&mut copies);
                device.buffers.iter().zip(&copies).try_for_each(|(buffer, copy)| buffer.upload(copy))
            }
        }
    }
}

impl<T: Element> OnDevice<T> {
    /// Returns copies of all buffers on the host.
    fn download(&self) -> ort::Result<Vec<Tensor<T>>> {
        self.buffers.iter().map(DeviceTensor::download).collect()
    }
}

/// Returns the mover for `buffers`, which have one size; `None` if the device moves no rows.
///
/// # Errors
/// The device does not reach all rows.
fn reaching_mover<T: Element>(
    graph: &Graph,
    buffers: &[DeviceTensor<T>],
    size: usize,
) -> ort::Result<Option<Arc<Mover>>> {
    let Some(mover) = graph.mover() else { return Ok(None) };
    let Some(buffer) = buffers.first() else { return Ok(None) };
    if !mover.reaches(buffer, size, [T::from_float(1.0), T::from_float(2.0)])? {
        let what = "the device does not reach all of a buffer this large";
        return Err(ort::Error::new(format!("{what}: take fewer slots or a smaller context, or another provider")));
    }
    Ok(Some(mover))
}
