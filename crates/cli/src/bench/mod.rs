//! `bench`: measures the speed of a package on this machine.

mod figure;
mod language_model;
mod machine;
mod min_times;
mod sound;
mod whole;

use std::time::Instant;

use clap::ValueEnum;
use serde::Serialize;
use ualm::{Model, Result, RuntimeOptions};

use crate::args::{Bench, Common, Part};
use crate::output::{note, print, print_json};
use crate::setup::{named_package, package_folder, runtime_options};
use figure::Figure;
use machine::Machine;
use min_times::MinTimes;
use ualm::internal::MachineSpeed;

/// The output of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    package: &'a str,
    precision: &'a str,
    megabytes: f64,
    threads: usize,
    library: &'a str,
    #[serde(flatten)]
    machine: Machine,
    /// The measured speed of the machine, if a figure needed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<MachineSpeed>,
    figures: Vec<Figure>,
}

/// `ualm bench`.
pub fn run(common: &Common, args: &Bench) -> Result<()> {
    let folder =
        args.package.as_deref().map_or_else(|| package_folder(common), |package| named_package(common, package))?;
    let options = runtime_options(common);
    let start = Instant::now();
    let model = Model::load_with(folder, &options)?.with_limits(common.limits.limits());
    let mut figures = vec![whole::first_load(start)];
    let mut parts = if args.only.is_empty() { Part::value_variants().to_vec() } else { args.only.clone() };
    // the clip comes first, since its peak memory must not include other parts
    parts.sort();
    let report = |figures: &[Figure]| {
        if common.json { Ok(()) } else { figures.iter().try_for_each(|figure| print(&figure.line())) }
    };
    let head = Machine::of(&model)?;
    if !common.json {
        print(&head.head())?;
    }
    report(&figures)?;
    let min_times = MinTimes::new(!args.no_limits);
    let bencher = Bencher { common, args, options: &options, model: &model, min_times: &min_times };
    for part in parts {
        let measured = bencher.measure(part)?;
        report(&measured)?;
        figures.extend(measured);
    }
    let machine = Machine::of(&model)?;
    if !common.json {
        print(&machine.since(&head))?;
        return min_times.speed().map_or(Ok(()), |speed| print(&min_times::line(speed)));
    }
    let manifest = model.manifest();
    print_json(&Report {
        package: &manifest.name,
        precision: &manifest.precision,
        megabytes: model.package().size() as f64 / 1e6,
        threads: model.runtime().threads(),
        library: model.runtime().build_info(),
        machine,
        speed: min_times.speed().copied(),
        figures,
    })
}

/// The positions of a context that are kept for the steps after a prompt.
const KEPT: usize = 64;

/// The model and the arguments of a measurement.
struct Bencher<'a> {
    common: &'a Common,
    args: &'a Bench,
    options: &'a RuntimeOptions,
    model: &'a Model,
    min_times: &'a MinTimes,
}

impl Bencher<'_> {
    /// Measures one part; returns no figures for abilities that the package lacks.
    fn measure(&self, part: Part) -> Result<Vec<Figure>> {
        let Self { args, options, model, min_times, .. } = *self;
        let runs = usize::from(args.runs);
        match part {
            Part::Clip if sound::is_made_by(model) => {
                let clip = whole::clip(model, args.seconds, runs.min(3))?;
                Ok(clip.into_iter().chain(whole::peak_memory()).collect())
            }
            Part::First if sound::is_made_by(model) => Ok(vec![whole::first_sound(model, runs)?]),
            Part::Clip | Part::First => Ok(Vec::new()),
            Part::Prefill => self.prefill(),
            Part::Steps => {
                let mut figures = Vec::new();
                for context in self.fitting("steps at a context", &args.context) {
                    figures.extend(language_model::steps(model, min_times, context, runs)?);
                }
                Ok(figures)
            }
            Part::Codec => sound::codecs(model, min_times, runs),
            Part::Encoder => sound::encoder(model, min_times, runs),
            Part::FrontEnd => sound::front_end(model, runs),
            Part::Load => whole::load(model, options, runs),
        }
    }

    /// Measures prompts of every requested length, and the unconditional prompt of the longest.
    fn prefill(&self) -> Result<Vec<Figure>> {
        let runs = usize::from(self.args.runs);
        let lengths = self.fitting("prefill", &self.args.prompt);
        let mut figures = Vec::new();
        for length in &lengths {
            figures.push(language_model::prefill(self.model, self.min_times, *length, runs)?);
        }
        if let (Some(longest), true) = (lengths.iter().max(), sound::is_made_by(self.model)) {
            figures.push(language_model::unconditional_prefill(self.model, *longest, runs)?);
        }
        Ok(figures)
    }

    /// Returns the `lengths` that fit into the context with the steps after them, and notes that `what` is not measured for
    /// the others.
    fn fitting(&self, what: &str, lengths: &[usize]) -> Vec<usize> {
        let max = self.model.manifest().language_model.max_positions.min(self.model.limits().context);
        let (fitting, others): (Vec<_>, Vec<_>) = lengths.iter().partition(|length| length.saturating_add(KEPT) <= max);
        for length in others {
            let room = format!("the context holds {max} positions, {KEPT} of them for steps");
            note(self.common, &format!("not measured: {what} of {length}; {room}"));
        }
        fitting
    }
}
