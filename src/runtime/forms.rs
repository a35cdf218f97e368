//! The choice of a graph's form: a variant for the provider or for the processor, or the package's own graph.

use super::graph::{Graph, Placed};
use super::loader::{GraphLoader, NotLoaded, ToLoad};
use super::port::Port;
use super::sizes::Sizes;
use crate::error::Result;
use crate::package::PREFILL;
use crate::processor::Processor;
use crate::provider::{GraphPlacement, Provider};

/// A variant of a graph, with its file, by its requirement.
enum Variant<'m> {
    /// A variant for a provider that computes in float16.
    Half(&'m str),
    /// A form for processors with VNNI.
    Vnni(&'m str),
}

impl GraphLoader {
    /// Loads the variant of the graph for its provider, if there is one that runs there, else the graph in its file.
    pub(super) fn session_of_form(&self, graph: ToLoad<'_>) -> Result<(Placed, GraphPlacement), NotLoaded> {
        let provider = graph.provider;
        let Some(variant) = self.variant(provider, graph.name) else {
            return self.session_on(graph);
        };
        let (Variant::Half(variant_file) | Variant::Vnni(variant_file)) = variant;
        let checked = match variant {
            Variant::Half(_) => self.check_float16(provider).map(|()| None),
            Variant::Vnni(_) => self.vnni(provider).map(Some),
        };
        let loaded = checked.and_then(|instructions| {
            let (placed, placement) = self.session_on(ToLoad { file: variant_file, ..graph })?;
            Ok((placed, GraphPlacement { instructions: instructions.map(str::to_owned), ..placement }))
        });
        let Err(NotLoaded::PassedOver(why)) = loaded else { return loaded };
        let (placed, placement) = self.session_on(graph)?;
        Ok((placed, GraphPlacement { variant_passed_over: Some(format!("{variant_file}: {why}")), ..placement }))
    }

    /// Returns the variant of the graph `name` for `provider`, if there is one.
    fn variant(&self, provider: &Provider, name: &str) -> Option<Variant<'_>> {
        let manifest = self.package.manifest();
        let vnni = provider.is_cpu().then(|| manifest.vnni_form(name)).flatten().map(Variant::Vnni);
        vnni.or_else(|| manifest.variant(provider.name(), name).map(Variant::Half))
    }

    /// Returns the processor's kind of VNNI, if forms for VNNI may run on `provider`, the CPU, and give right numbers.
    fn vnni(&self, provider: &Provider) -> Result<&'static str, NotLoaded> {
        self.resolve(provider)?;
        if !provider.takes_vnni() {
            return Err(NotLoaded::PassedOver("the portable form was requested (vnni=0)".into()));
        }
        let processor = Processor::get();
        let lacking =
            || NotLoaded::PassedOver(format!("no VNNI that ONNX Runtime uses on this processor ({processor})"));
        let instructions = processor.vnni().ok_or_else(lacking)?;
        self.runtime.check_product().map_err(NotLoaded::PassedOver)?;
        Ok(instructions)
    }

    /// Checks that `provider` computes in float16, as its variants do.
    fn check_float16(&self, provider: &Provider) -> Result<(), NotLoaded> {
        let route = self.resolve(provider)?;
        let device = self.runtime.device(provider, &route.name);
        device.computes_half(|| self.runtime.check_float16(route)).map_err(NotLoaded::PassedOver)
    }

    /// Returns the file of the form of `llm` for long prompts, if the package has one that runs beside `llm`.
    pub(crate) fn prefill_file(&self, llm: &Graph) -> Option<&str> {
        self.prefill(&llm.provider, &llm.sizes)?.ok()
    }

    /// Returns the file of the form of `llm` for long prompts, or the reason why it is not used beside an `llm` with `sizes`
    /// for its dimensions; `None` if the package has no such form for `provider`.
    pub(super) fn prefill(&self, provider: &Provider, sizes: &Sizes) -> Option<Result<&str, String>> {
        let file = self.package.manifest().vnni_form(PREFILL).filter(|_| provider.is_cpu())?;
        let why = match self.vnni(provider) {
            Err(NotLoaded::PassedOver(why)) => why,
            Err(NotLoaded::Failed(error)) => error.full_message(),
            Ok(_) if !sizes.is_empty() => "it takes no fixed shapes".to_owned(),
            Ok(_) if self.placing.low_memory => "memory is to be saved".to_owned(),
            Ok(_) => return Some(Ok(file)),
        };
        Some(Err(format!("{file} for long prompts: {why}")))
    }

    /// Loads the graph in `file`, the form of `llm` for long prompts, for the provider of `llm`.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn load_prefill(&self, llm: &Graph, file: &str, inputs: &[Port], outputs: &[Port]) -> Result<Graph> {
        let wrong = |not_loaded: NotLoaded| not_loaded.into_error(PREFILL);
        let instructions = self.vnni(&llm.provider).map_err(wrong)?;
        let loaded = self.session_on(ToLoad::on(&llm.provider, PREFILL, file));
        let (placed, placement) = loaded.map_err(wrong)?;
        self.check_contract(&placed.session, file, inputs, outputs)?;
        let placement = GraphPlacement { instructions: Some(instructions.to_owned()), ..placement };
        let clock = self.placements.note(placement);
        Ok(Graph::new(PREFILL, placed, clock))
    }
}
