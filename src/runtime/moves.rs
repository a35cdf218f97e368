//! Moves of rows within the memory of a device, by a graph that runs there.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::session::Session;
use ort::value::{PrimitiveTensorElementType, Tensor};

use super::binding::Binding;
use super::buffer::{Buffer, DeviceTensor, check_copies};
use super::device::Device;
use super::place::{Place, Places};
use crate::provider::{CPU, nodes_by_provider};

/// The graph for float32, Gather and ScatterND, written by `scripts/row_moves_graph.py`.
const GRAPH: &[u8] = include_bytes!("row_moves.onnx");
/// The graph for float16.
const GRAPH_OF_HALVES: &[u8] = include_bytes!("row_moves_half.onnx");

/// Returns the graph for numbers of float16 or of float32.
pub(super) fn graph(is_half: bool) -> &'static [u8] {
    if is_half { GRAPH_OF_HALVES } else { GRAPH }
}

/// Pairs of rows, a source and a target each; no two have the same target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    from: Vec<i64>,
    to: Vec<i64>,
}

impl Moves {
    /// Creates the moves of the rows `from` to the rows `to`, of the same number.
    pub(crate) fn new(from: impl Iterator<Item = usize>, to: impl Iterator<Item = usize>) -> Self {
        let signed = |row: usize| i64::try_from(row).unwrap_or(i64::MAX);
        Self { from: from.map(signed).collect(), to: to.map(signed).collect() }
    }

    /// Returns the source and the target of each move.
    #[cfg(test)]
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let unsigned = |row: &i64| usize::try_from(*row).expect("a row");
        self.from.iter().map(unsigned).zip(self.to.iter().map(unsigned))
    }
}

/// A session of the graph on one device, which moves rows in its memory.
pub(crate) struct Mover {
    session: Mutex<Session>,
    places: Arc<Places>,
    device: Arc<Device>,
}

impl Debug for Mover {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mover").field("provider", &self.device.provider()).finish_non_exhaustive()
    }
}

impl Mover {
    /// Creates a mover from `session` of the [`graph`] for `T`, which must record the placement of its nodes.
    ///
    /// # Errors
    /// The session does not run on the device, or moves rows wrongly.
    pub(super) fn new<T>(session: Session, device: &Arc<Device>) -> ort::Result<Self>
    where
        T: PrimitiveTensorElementType + Debug + Clone + PartialEq + From<u8> + 'static,
    {
        if nodes_by_provider(&session).iter().any(|(provider, _)| provider == CPU) {
            return Err(ort::Error::new("it leaves the graph that moves rows to the CPU"));
        }
        let places = Places::of(&session, device).map_err(ort::Error::new)?;
        check_copies(&session, &places).map_err(ort::Error::new)?;
        if ["to", "from", "moved"].iter().any(|port| matches!(places.get(port), Place::Host)) {
            return Err(ort::Error::new("it wants the rows to move on the host"));
        }
        let mover = Self { session: Mutex::new(session), places: Arc::new(places), device: Arc::clone(device) };
        if mover.is_right::<T>()? { Ok(mover) } else { Err(ort::Error::new("it moves rows wrongly")) }
    }

    /// Returns whether test moves within a tensor and between two tensors give the right rows.
    fn is_right<T>(&self) -> ort::Result<bool>
    where
        T: PrimitiveTensorElementType + Debug + Clone + PartialEq + From<u8> + 'static,
    {
        const SIZE: usize = 8;
        let mut numbers: Vec<T> = (0..64).map(T::from).collect();
        let mut others: Vec<T> = (100..140).map(T::from).collect();
        let [tensor, other] = [self.tensor(&[8, SIZE])?, self.tensor(&[5, SIZE])?];
        tensor.upload(&Tensor::from_array(([8, SIZE], numbers.clone()))?)?;
        other.upload(&Tensor::from_array(([5, SIZE], others.clone()))?)?;
        let swap = Moves::new([1, 6, 0].into_iter(), [6, 1, 7].into_iter());
        let [tensor, other] = [[tensor], [other]];
        self.run(&tensor, &tensor, SIZE, &swap)?;
        self.run(&tensor, &other, SIZE, &Moves::new([4, 2].into_iter(), [0, 3].into_iter()))?;
        self.run(&other, &tensor, SIZE, &Moves::new([1].into_iter(), [4].into_iter()))?;
        let row = |numbers: &[T], row: usize| numbers.iter().skip(row * SIZE).take(SIZE).cloned().collect::<Vec<_>>();
        let replace = |numbers: &mut Vec<T>, at: usize, by: Vec<T>| {
            numbers.splice(at * SIZE..(at + 1) * SIZE, by);
        };
        let [one, six, zero] = [1, 6, 0].map(|index| row(&numbers, index));
        for (at, by) in [(6, one), (1, six), (7, zero)] {
            replace(&mut numbers, at, by);
        }
        for (at, of) in [(0, 4), (3, 2)] {
            replace(&mut numbers, at, row(&others, of));
        }
        replace(&mut others, 4, row(&numbers, 1));
        let holds = |tensor: &[DeviceTensor<T>; 1], expected: &[T]| -> ort::Result<bool> {
            let [tensor] = tensor;
            Ok(tensor.download()?.extract_tensor().1 == expected)
        };
        Ok(holds(&tensor, &numbers)? && holds(&other, &others)?)
    }

    /// Returns whether rows of `size` numbers can be moved to all parts of `tensor` and back; the check overwrites the last
    /// row with `one` and the middle row with `two`.
    ///
    /// WebGPU devices bind at least 128 MiB of a buffer in one piece. Beyond what a device binds, the provider's ScatterND, as
    /// of 0.4.0, writes nothing and returns no error; other operators fail.
    pub(crate) fn reaches<T>(&self, tensor: &DeviceTensor<T>, size: usize, [one, two]: [T; 2]) -> ort::Result<bool>
    where
        T: PrimitiveTensorElementType + Debug + Clone + PartialEq + 'static,
    {
        const IN_ONE_PIECE: usize = 128 << 20;
        let rows = tensor.len() / size.max(1);
        if tensor.len() * size_of::<T>() <= IN_ONE_PIECE || rows < 2 {
            return Ok(true);
        }
        let written: Vec<_> = [one, two].into_iter().flat_map(|number| vec![number; size]).collect();
        let [small, back] = [self.tensor(&[2, size])?, self.tensor(&[2, size])?];
        small.upload(&Tensor::from_array(([2, size], written.clone()))?)?;
        let ends = [rows - 1, rows / 2];
        let tensor = std::slice::from_ref(tensor);
        self.run(tensor, &[small], size, &Moves::new(0..2, ends.into_iter()))?;
        let back = [back];
        self.run(&back, tensor, size, &Moves::new(ends.into_iter(), 0..2))?;
        let [back] = back;
        Ok(back.download()?.extract_tensor().1 == written)
    }

    /// Allocates a tensor on the device.
    pub(crate) fn tensor<T>(&self, shape: &[usize]) -> ort::Result<DeviceTensor<T>>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        match self.places.get("from") {
            Place::Host => Err(ort::Error::new("rows on the host")),
            Place::Device(memory) => DeviceTensor::new(&self.lock(), memory, shape),
        }
    }

    /// Copies rows of `size` numbers from each tensor in `from` into its counterpart in `to`, which may be the same tensor:
    /// all rows are read before any is written.
    pub(crate) fn run<T>(
        &self,
        to: &[DeviceTensor<T>],
        from: &[DeviceTensor<T>],
        size: usize,
        moves: &Moves,
    ) -> ort::Result<()>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        let shape = |tensor: &DeviceTensor<T>| [tensor.len() / size.max(1), size];
        let last = |rows: &[i64]| rows.iter().max().map_or(-1, |row| *row);
        let holds = |tensors: &[DeviceTensor<T>], last: i64| {
            tensors.iter().all(|tensor| usize::try_from(last).is_ok_and(|last| last < shape(tensor)[0]))
        };
        if moves.to.len() != moves.from.len() || !holds(to, last(&moves.to)) || !holds(from, last(&moves.from)) {
            return Err(ort::Error::new("the rows to move are outside the tensors"));
        }
        let mut session = self.lock();
        let mut to_rows = Buffer::new(&session, self.places.get("to_rows"), &[moves.to.len(), 1])?;
        let mut from_rows = Buffer::new(&session, self.places.get("from_rows"), &[moves.from.len()])?;
        to_rows.numbers_mut().copy_from_slice(&moves.to);
        from_rows.numbers_mut().copy_from_slice(&moves.from);
        to_rows.upload()?;
        from_rows.upload()?;
        let mut binding = Binding::new(&session, &self.places, false)?;
        to_rows.bind_input(&mut binding, "to_rows")?;
        from_rows.bind_input(&mut binding, "from_rows")?;
        self.device.with(|| {
            for (to, from) in to.iter().zip(from) {
                // SAFETY: the binding is dropped at the end of this call, before the tensors are.
                unsafe {
                    from.bind_as(&mut binding, &["from"], &[], &shape(from))?;
                    to.bind_as(&mut binding, &["to"], &["moved"], &shape(to))?;
                }
                binding.run(&mut session)?;
            }
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The movers of a process.
#[derive(Debug, Default)]
pub(super) struct Movers(Mutex<MoversByKind>);

/// Movers by provider as requested and by element: true for float16, false for float32. `None` stands for a mover that could
/// not be loaded.
type MoversByKind = BTreeMap<(String, bool), Option<Arc<Mover>>>;

impl Movers {
    /// Returns the mover of `device` for float16 or float32, which `load` makes the first time; `None` if that fails.
    pub(super) fn of(
        &self,
        device: &Device,
        is_half: bool,
        load: impl FnOnce() -> ort::Result<Mover>,
    ) -> Option<Arc<Mover>> {
        let mut movers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let provider = device.provider();
        let load = || match load() {
            Ok(mover) => Some(Arc::new(mover)),
            Err(e) => {
                let why = e.message().trim();
                log::warn!("{provider} does not move rows of a cache on its device, so the host does, slowly: {why}");
                None
            }
        };
        movers.entry((provider.to_owned(), is_half)).or_insert_with(load).clone()
    }
}
