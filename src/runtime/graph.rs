//! A loaded graph, which runs for one caller at a time.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, PrimitiveTensorElementType};

use super::attention::FEW_POSITIONS;
use super::binding::Binding;
use super::buffer::{Buffer, DeviceTensor};
use super::clock::Clock;
use super::faults;
use super::moves::Mover;
use super::place::{Place, Places};
use super::port::is_half;
use super::sizes::Sizes;
use crate::error::{Error, ErrorKind, Result};
use crate::provider::Provider;

/// A session on the devices of a provider.
pub(super) struct Placed {
    pub session: Session,
    pub provider: Provider,
    /// The file of the graph.
    pub file: String,
    /// The sizes of its dimensions, if they are fixed.
    pub sizes: Sizes,
    pub places: Arc<Places>,
    /// True if runs can be recorded and replayed.
    pub captures: bool,
    /// True if the graph must run few positions at once, because attention over more is wrong on its device.
    pub few_positions: bool,
    /// The mover of the graph's cache, if the graph has a cache on a device that can move rows.
    pub mover: Option<Arc<Mover>>,
}

/// A loaded graph. One thread at a time runs it; others wait.
pub(crate) struct Graph {
    pub(super) name: String,
    session: Mutex<Session>,
    pub(super) provider: Provider,
    pub(super) file: String,
    pub(super) sizes: Sizes,
    places: Arc<Places>,
    captures: bool,
    pub(super) few_positions: bool,
    mover: Option<Arc<Mover>>,
    pub(super) clock: Arc<Clock>,
}

impl Graph {
    pub(super) fn new(name: &str, placed: Placed, clock: Arc<Clock>) -> Self {
        let Placed { session, provider, file, sizes, places, captures, few_positions, mover } = placed;
        Self {
            name: name.to_owned(),
            session: Mutex::new(session),
            provider,
            file,
            sizes,
            places,
            captures,
            few_positions,
            mover,
            clock,
        }
    }

    /// Returns the graph's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the size of the dimension of this name, if the shapes of the graph are fixed.
    pub(crate) fn fixed(&self, dimension: &str) -> Option<usize> {
        self.sizes.get(dimension).copied()
    }

    /// Returns whether the input `name` is float16.
    pub(crate) fn is_half(&self, name: &str) -> bool {
        let session = self.lock();
        let input = session.inputs().iter().find(|input| input.name() == name);
        input.is_some_and(is_half)
    }

    /// Returns the mover of rows of the graph's cache, if its device can move rows.
    pub(crate) fn mover(&self) -> Option<Arc<Mover>> {
        self.mover.clone()
    }

    /// Returns the maximum number of positions of one run for which the numbers are right.
    pub(crate) fn max_positions_per_run(&self) -> usize {
        if self.few_positions { FEW_POSITIONS } else { usize::MAX }
    }

    /// Allocates a tensor of `shape` in the memory where the graph reads its input `port`.
    pub(crate) fn buffer<T>(&self, port: &str, shape: &[usize]) -> Result<Buffer<T>>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        Buffer::new(&self.lock(), self.places.get(port), shape).map_err(|e| self.failed(&e))
    }

    /// Allocates a tensor of `shape` for the graph's output `port`: on the device if runs are recorded, else on the host, to
    /// which ONNX Runtime copies the output.
    pub(crate) fn output<T>(&self, port: &str, shape: &[usize]) -> Result<Buffer<T>>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        let place = if self.captures { self.places.get(port) } else { &Place::Host };
        Buffer::new(&self.lock(), place, shape).map_err(|e| self.failed(&e))
    }

    /// Allocates a tensor of `shape` on the device where the graph reads its input `port`; `None` if that is the host.
    pub(crate) fn device_tensor<T>(&self, port: &str, shape: &[usize]) -> ort::Result<Option<DeviceTensor<T>>>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        match self.places.get(port) {
            Place::Host => Ok(None),
            Place::Device(memory) => DeviceTensor::new(&self.lock(), memory, shape).map(Some),
        }
    }

    /// Binds `buffer` as the output `port`. Returns whether the graph writes in the memory where the buffer is read; if not,
    /// the buffer must be uploaded after each run.
    pub(crate) fn bind_output<T>(&self, binding: &mut Binding, port: &str, buffer: &mut Buffer<T>) -> Result<bool>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        buffer.bind_output(binding, port, self.places.get(port)).map_err(|e| self.failed(&e))
    }

    /// Returns a binding for [`run_bound`](Self::run_bound).
    pub(crate) fn binding(&self) -> Result<Binding> {
        Binding::new(&self.lock(), &self.places, self.captures).map_err(|e| self.failed(&e))
    }

    /// Records the first run of `binding` and replays it in later runs, if the options of the provider request that.
    pub(crate) fn record(&self, binding: &mut Binding) -> Result<()> {
        binding.record(&self.lock()).map_err(|e| self.failed(&e))
    }

    /// Runs the graph on the tensors of `binding`.
    pub(crate) fn run_bound(&self, binding: &mut Binding) -> Result<()> {
        let mut session = self.lock();
        let mut run = || self.clock.time(|| binding.run(&mut session));
        let run = match self.places.device() {
            None => run(),
            Some(device) => device.with(run),
        };
        run.or_else(|e| {
            binding.record_anew(&session).map_err(|e| self.failed(&e))?;
            Err(self.failed(&e))
        })
    }

    /// Runs the graph on `inputs` and returns the outputs in `names`, in that order.
    pub(crate) fn run<const I: usize, const O: usize>(
        &self,
        inputs: [(&str, SessionInputValue<'_>); I],
        names: [&str; O],
    ) -> Result<[DynValue; O]> {
        let mut session = self.lock();
        let run = || self.clock.time(|| session.run(Vec::from(inputs)));
        let run = match self.places.device() {
            None => run(),
            Some(device) => device.with(run),
        };
        let mut outputs: SessionOutputs = run.map_err(|e| self.failed(&e))?;
        let mut values = Vec::with_capacity(O);
        for name in names {
            let missing = || Error::new(ErrorKind::Graph, format!("{}: no output {name:?}", self.name));
            values.push(outputs.remove(name).ok_or_else(missing)?);
        }
        values.try_into().map_err(|_| Error::new(ErrorKind::Graph, format!("{}: outputs missing", self.name)))
    }

    /// Returns an error of this graph.
    pub(crate) fn failed(&self, error: &ort::Error) -> Error {
        faults::explain(&format!("{} failed", self.name_on_provider()), ErrorKind::Graph, error)
    }

    /// Returns the graph and its provider in words.
    pub(crate) fn name_on_provider(&self) -> String {
        format!("the graph {} on {}", self.name, self.provider)
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the value in `cell`, loading it if needed. If two threads race, both load and one result is kept.
pub(crate) fn load_once<T>(cell: &OnceLock<T>, load: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(loaded) = cell.get() {
        return Ok(loaded);
    }
    let loaded = load()?;
    Ok(cell.get_or_init(|| loaded))
}
