//! What is asked for: providers in order of preference, for all graphs and for some.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::provider_key;
use crate::error::{Error, ErrorKind, Result};

/// The graphs of a package, by their names in the manifest.
pub const GRAPHS: [&str; 8] =
    ["embed", "llm", "text_head", "audio_head", "audio_encoder", "codec_encoder", "codec_decoder", "enhancer"];

/// Names for several graphs at once.
const GROUPS: [(&str, &[&str]); 2] =
    [("codec", &["codec_encoder", "codec_decoder"]), ("heads", &["text_head", "audio_head"])];

/// Falls back to whatever is here, and says so.
const AUTO: &str = "auto";

/// A provider by its name, with its own options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    name: String,
    options: Vec<(String, String)>,
}

impl Provider {
    /// The provider `name`: `cpu`, `cuda`, `openvino` …, ONNX Runtime's own name for it, or that of a plugin's.
    pub fn new(name: &str) -> Self {
        Self { name: provider_key(name), options: Vec::new() }
    }

    /// The same with an option, given to the provider as it is; `device` (`cpu`, `gpu`, `npu`) chooses among those of a
    /// plugin.
    pub fn with_option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((key.into(), value.into()));
        self
    }

    /// Its name, as a person writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its options.
    pub fn options(&self) -> &[(String, String)] {
        &self.options
    }

    pub(crate) fn is_auto(&self) -> bool {
        self.name == AUTO
    }

    pub(crate) fn is_cpu(&self) -> bool {
        self.name == "cpu"
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (index, (key, value)) in self.options.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace(',', "\\,");
            write!(f, "{}{key}={value}", if index == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

/// The providers of a model's graphs, each list in order of preference: a graph runs on the first that serves it.
///
/// Written as `openvino`, `cuda:device_id=1,cpu`, `auto`, `codec=openvino,llm=cpu`: providers with their options after a
/// colon; before an equals sign the graph, or group of graphs (`codec`, `heads`), that it is for. A comma in an option's
/// value is written `\,`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers {
    all: Vec<Provider>,
    graphs: BTreeMap<String, Vec<Provider>>,
}

impl Providers {
    /// The CPU for every graph.
    pub fn cpu() -> Self {
        Self::default()
    }

    /// An accelerator that is here and serves the graph, else the CPU.
    pub fn auto() -> Self {
        Self::default().prefer(Provider::new(AUTO))
    }

    /// The same with one more provider for the graphs that have no list of their own.
    pub fn prefer(mut self, provider: Provider) -> Self {
        self.all.push(provider);
        self
    }

    /// The same with one more provider for `graph`, or the graphs of a group.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when no graph has this name.
    pub fn prefer_for(mut self, graph: &str, provider: Provider) -> Result<Self> {
        let graphs = graphs_of(graph).ok_or_else(|| {
            let groups: Vec<_> = GROUPS.iter().map(|(name, _)| *name).collect();
            let known = format!("{}, {}", GRAPHS.join(", "), groups.join(", "));
            Error::new(ErrorKind::Invalid, format!("{graph:?} is no graph of a package; expected one of {known}"))
        })?;
        for graph in graphs {
            self.graphs.entry((*graph).to_owned()).or_default().push(provider.clone());
        }
        Ok(self)
    }

    /// What `UALM_PROVIDER` asks for; the CPU when it is not set.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it makes no sense.
    pub fn from_environment() -> Result<Self> {
        match std::env::var("UALM_PROVIDER") {
            Ok(text) if !text.trim().is_empty() => text.parse().map_err(|e: Error| e.context("UALM_PROVIDER")),
            _ => Ok(Self::cpu()),
        }
    }

    /// The providers for `graph` in order of preference; none is the CPU.
    pub fn of(&self, graph: &str) -> &[Provider] {
        self.graphs.get(graph).unwrap_or(&self.all)
    }

    /// Every provider that is asked for, once.
    pub fn distinct(&self) -> Vec<&Provider> {
        let mut distinct: Vec<&Provider> = Vec::new();
        for provider in self.all.iter().chain(self.graphs.values().flatten()) {
            if !distinct.contains(&provider) {
                distinct.push(provider);
            }
        }
        distinct
    }

    /// Whether nothing but the CPU is asked for.
    pub fn is_cpu(&self) -> bool {
        self.distinct().iter().all(|provider| provider.is_cpu())
    }
}

fn graphs_of(name: &str) -> Option<&'static [&'static str]> {
    let group = GROUPS.iter().find(|(group, _)| *group == name).map(|(_, graphs)| *graphs);
    group.or_else(|| GRAPHS.iter().position(|graph| *graph == name).and_then(|at| GRAPHS.get(at..=at)))
}

impl fmt::Display for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all.iter().map(Provider::to_string);
        let one = |graph: &String, provider| format!("{graph}={provider}");
        let graphs = self.graphs.iter().flat_map(|(graph, list)| list.iter().map(move |p| one(graph, p)));
        let items: Vec<_> = all.chain(graphs).collect();
        f.write_str(if items.is_empty() { "cpu".to_owned() } else { items.join(",") }.as_str())
    }
}

impl FromStr for Providers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut items: Vec<(Option<String>, Provider)> = Vec::new();
        for item in split_at_commas(text)? {
            match (items.last_mut(), option_of(&item)) {
                (Some((_, last)), Some((key, value))) if !last.options.is_empty() => {
                    last.options.push((key.to_owned(), value.to_owned()));
                }
                _ => items.push(provider_of(&item)?),
            }
        }
        items.into_iter().try_fold(Self::default(), |providers, (graph, provider)| match graph {
            None => Ok(providers.prefer(provider)),
            Some(graph) => providers.prefer_for(&graph, provider),
        })
    }
}

/// The parts between commas; `\,` and `\\` are plain characters.
fn split_at_commas(text: &str) -> Result<Vec<String>> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ',' => parts.push(std::mem::take(&mut part)),
            '\\' => part.extend(letters.next()),
            '\0' => return Err(wrong(text, "a NUL is in it")),
            letter => part.push(letter),
        }
    }
    parts.push(part);
    let parts: Vec<_> = parts.iter().map(|part| part.trim().to_owned()).collect();
    match parts.iter().any(String::is_empty) {
        true => Err(wrong(text, "a name is missing")),
        false => Ok(parts),
    }
}

/// `key=value` of an item that goes on with the options before it: an equals sign, no colon before it, no graph's name.
fn option_of(item: &str) -> Option<(&str, &str)> {
    let (key, value) = item.split_once('=')?;
    (!key.contains(':') && graphs_of(key).is_none()).then_some((key, value))
}

/// `[graph=]name[:key=value]`.
fn provider_of(item: &str) -> Result<(Option<String>, Provider)> {
    let (head, option) = item.split_once(':').map_or((item, None), |(head, option)| (head, Some(option)));
    let (graph, name) = head.split_once('=').map_or((None, head), |(graph, name)| (Some(graph), name));
    if provider_key(name).is_empty() {
        return Err(wrong(item, "a name is missing"));
    }
    let mut provider = Provider::new(name);
    if let Some(option) = option {
        let (key, value) = option.split_once('=').ok_or_else(|| wrong(item, "an option has no value"))?;
        provider = provider.with_option(key, value);
    }
    Ok((graph.map(str::to_owned), provider))
}

fn wrong(text: &str, what: &str) -> Error {
    let expected = "expected NAME[:KEY=VALUE,…] or GRAPH=NAME[:KEY=VALUE,…], several divided by commas";
    Error::new(ErrorKind::Invalid, format!("{text:?} names no provider: {what}; {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Providers {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn lists_options_and_graphs_are_read() {
        let providers =
            parsed("cuda:device_id=1,cudnn_conv_algo_search=HEURISTIC,cpu,codec=openvino:device=cpu,llm=cpu");
        let cuda =
            Provider::new("cuda").with_option("device_id", "1").with_option("cudnn_conv_algo_search", "HEURISTIC");
        assert_eq!(providers.of("embed"), [cuda, Provider::new("cpu")]);
        assert_eq!(providers.of("codec_decoder"), [Provider::new("OpenVINO").with_option("device", "cpu")]);
        assert_eq!(providers.of("llm"), [Provider::new("cpu")]);
        assert_eq!(providers.distinct().len(), 3);
    }

    #[test]
    fn commas_and_colons_may_stand_in_values() {
        let providers = parsed(r"openvino:device_type=HETERO:NPU\,GPU,cache_dir=C:\\models");
        let options = providers.of("llm")[0].options();
        assert_eq!(options[0], ("device_type".into(), "HETERO:NPU,GPU".into()));
        assert_eq!(options[1], ("cache_dir".into(), r"C:\models".into()));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["cpu", "auto", "openvino,cpu", r"cuda:a=1,b=x\,y", "cpu,codec_decoder=coreml:MLComputeUnits=ALL"] {
            assert_eq!(parsed(text).to_string(), text);
            assert_eq!(parsed(&parsed(text).to_string()), parsed(text));
        }
        assert_eq!(Providers::cpu().to_string(), "cpu");
        assert!(
            Providers::cpu().is_cpu() && parsed("llm=CPUExecutionProvider").is_cpu() && !Providers::auto().is_cpu()
        );
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for (text, words) in [
            ("", "a name is missing"),
            ("cuda,,cpu", "a name is missing"),
            ("cuda:device", "an option has no value"),
            ("ears=cuda", "\"ears\" is no graph"),
            ("llm=", "a name is missing"),
            ("a\0b", "NUL"),
        ] {
            let error = text.parse::<Providers>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(words), "{text:?}: {error}");
        }
    }
}
