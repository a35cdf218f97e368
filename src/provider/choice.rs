//! Provider selection: an ordered preference list, global and per graph.

use std::fmt;
use std::str::FromStr;

use super::provider_key;
use crate::error::{Error, ErrorKind, Result};

/// The usual graphs of packages, by their names in the manifest; a package may have other graphs with the same roles.
pub const GRAPHS: [&str; 8] =
    ["embed", "llm", "text_head", "audio_head", "audio_encoder", "codec_encoder", "codec_decoder", "enhancer"];

/// Names of groups of graphs.
const GROUPS: [&str; 2] = ["codec", "heads"];

/// Suffixes of graphs' names, which determine their roles.
const ROLES: [&str; 4] = ["_head", "_encoder", "_decoder", "_enhancer"];

/// An option of WebGPU's provider that this library reads itself: whether to replay recorded steps.
pub(super) const CAPTURE: &str = "graph_capture";

/// An option of the CPU's provider that this library reads itself: whether to use forms of graphs for processors with VNNI.
pub(super) const VNNI: &str = "vnni";

/// The name that stands for the accelerators of this machine, then the CPU.
const AUTO: &str = "auto";

/// A provider: its name and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    name: String,
    options: Vec<(String, String)>,
}

impl Provider {
    /// Creates the provider `name`: a short form (`cpu`, `cuda`, `openvino` …), or the name of a provider in ONNX Runtime or in
    /// a plugin.
    pub fn new(name: &str) -> Self {
        Self { name: provider_key(name), options: Vec::new() }
    }

    /// Creates the CPU provider that runs the portable graphs on every processor.
    pub(crate) fn portable_cpu() -> Self {
        Self::new("cpu").with_option(VNNI, "0")
    }

    /// Adds an option. Options are passed to the provider unchanged, except those that this library reads itself:
    ///
    /// - `device` (`cpu`, `gpu`, `npu`) selects a device of a plugin;
    /// - `graph_capture=1` makes WebGPU record and replay steps;
    /// - `static` (`yes`, `no`, or the maximum number of positions of a sequence) fixes the shapes of graphs, which is the
    ///   default for providers that need it (`qnn`, `vitisai`, OpenVINO on an NPU);
    /// - `vnni=0` makes the CPU run a package's portable graphs, even if the processor has VNNI.
    pub fn with_option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((key.into(), value.into()));
        self
    }

    /// Returns the short form of the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the options.
    pub fn options(&self) -> &[(String, String)] {
        &self.options
    }

    /// Returns whether steps are to be recorded and replayed (`graph_capture=1`).
    pub(crate) fn captures(&self) -> bool {
        self.option(CAPTURE).is_some_and(is_on)
    }

    /// Returns whether forms of graphs for processors with VNNI may run; `vnni=0` forbids them.
    pub(crate) fn takes_vnni(&self) -> bool {
        self.option(VNNI).is_none_or(is_on)
    }

    /// Returns the value of the option `key`.
    pub(crate) fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_auto(&self) -> bool {
        self.name == AUTO
    }

    pub(crate) fn is_cpu(&self) -> bool {
        self.name == "cpu"
    }
}

/// Returns whether `value` turns an option on.
pub(super) fn is_on(value: &str) -> bool {
    !["0", "false"].contains(&value.trim().to_lowercase().as_str())
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
/// The text form is `openvino`, `cuda:device_id=1,cpu`, `auto` or `codec=openvino,llm=cpu`: options follow a provider
/// after a colon, and the graph, or group of graphs (`codec`, `heads`), precedes a provider before an equals sign. A
/// comma in the value of an option is written `\,`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers {
    /// Providers in order of preference, each with its graph or group; `None` stands for all graphs.
    items: Vec<(Option<String>, Provider)>,
}

impl Providers {
    /// Selects the CPU for every graph.
    pub fn cpu() -> Self {
        Self::default()
    }

    /// Selects for each graph an accelerator of the machine that serves it, else the CPU.
    pub fn auto() -> Self {
        Self::default().prefer(Provider::new(AUTO))
    }

    /// Adds a provider for the graphs without a list of their own.
    pub fn prefer(mut self, provider: Provider) -> Self {
        self.items.push((None, provider));
        self
    }

    /// Adds a provider for `graph`, or for the graphs of a group.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name that no graph of any package can have. Loading a package checks that it has the graph.
    pub fn prefer_for(mut self, graph: &str, provider: Provider) -> Result<Self> {
        if !names_graphs(graph) {
            let known = format!("{}, {}", GRAPHS.join(", "), GROUPS.join(", "));
            let what = format!("{graph:?} is not a graph of any package; expected one such as {known}");
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        self.items.push((Some(graph.to_owned()), provider));
        Ok(self)
    }

    /// Checks that every named graph is one of [`GRAPHS`], a group, or one of `graphs`, the graphs of a package, and that `auto`
    /// has no options.
    pub(crate) fn check<'g>(&self, graphs: impl Iterator<Item = &'g str>) -> Result<()> {
        if let Some((_, auto)) = self.items.iter().find(|(_, item)| item.is_auto() && !item.options.is_empty()) {
            let what = format!(
                "{auto}: {AUTO} stands for several providers and takes no options; name a provider with its options"
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let graphs: Vec<_> = graphs.collect();
        let is_known = |name: &&str| GROUPS.contains(name) || GRAPHS.contains(name) || graphs.contains(name);
        match self.items.iter().filter_map(|(graph, _)| graph.as_deref()).find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => {
                let what =
                    format!("a provider is named for the graph {name:?}, but the package has {}", graphs.join(", "));
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }

    /// Returns the providers that `UALM_PROVIDER` lists, or the CPU if it is not set.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the list cannot be parsed.
    pub fn from_environment() -> Result<Self> {
        match std::env::var("UALM_PROVIDER") {
            Ok(text) if !text.trim().is_empty() => text.parse().map_err(|e: Error| e.context("UALM_PROVIDER")),
            _ => Ok(Self::cpu()),
        }
    }

    /// Returns the providers for `graph` in order of preference; an empty list stands for the CPU.
    pub fn of(&self, graph: &str) -> Vec<Provider> {
        let own = |name: &Option<String>| name.as_deref().is_some_and(|name| is_for(name, graph));
        let has_own = self.items.iter().any(|(name, _)| own(name));
        let chosen = self.items.iter().filter(|(name, _)| if has_own { own(name) } else { name.is_none() });
        chosen.map(|(_, provider)| provider.clone()).collect()
    }

    /// Returns every requested provider once.
    pub fn distinct(&self) -> Vec<&Provider> {
        let mut distinct: Vec<&Provider> = Vec::new();
        for (_, provider) in &self.items {
            if !distinct.contains(&provider) {
                distinct.push(provider);
            }
        }
        distinct
    }

    /// Returns whether only the CPU is requested.
    pub fn is_cpu(&self) -> bool {
        self.distinct().iter().all(|provider| provider.is_cpu())
    }
}

/// Returns whether `name` is a possible name of a graph, or the name of a group of graphs.
fn names_graphs(name: &str) -> bool {
    GRAPHS.contains(&name) || GROUPS.contains(&name) || ROLES.iter().any(|role| name.ends_with(role))
}

/// Returns whether `name`, the name of a graph or of a group, includes `graph`.
fn is_for(name: &str, graph: &str) -> bool {
    let is_codec = graph.ends_with("_decoder") || (graph.ends_with("_encoder") && graph != "audio_encoder");
    name == graph || (name == "heads" && graph.ends_with("_head")) || (name == "codec" && is_codec)
}

impl fmt::Display for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = |(graph, provider): &(Option<String>, Provider)| match graph {
            None => provider.to_string(),
            Some(graph) => format!("{graph}={provider}"),
        };
        let items: Vec<_> = self.items.iter().map(item).collect();
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

/// Splits `text` at commas; `\,` and `\\` are plain characters.
fn split_at_commas(text: &str) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ',' => parts.push(std::mem::take(&mut part)),
            '\\' => part.extend(letters.next()),
            '\0' => return Err(wrong(text, "it has a NUL")),
            letter => part.push(letter),
        }
    }
    parts.push(part);
    let parts: Vec<_> = parts.iter().map(|part| part.trim().to_owned()).collect();
    if parts.iter().any(String::is_empty) {
        return Err(wrong(text, "a name is missing"));
    }
    Ok(parts)
}

/// Returns the key and value of an item that continues the options before it: an item with an equals sign, which has no graph's
/// name and no colon before the sign.
fn option_of(item: &str) -> Option<(&str, &str)> {
    let (key, value) = item.split_once('=')?;
    (!key.contains(':') && !names_graphs(key)).then_some((key, value))
}

/// Parses an item of the form `[graph=]name[:key=value]`.
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
    let expected = "expected NAME[:KEY=VALUE,…] or GRAPH=NAME[:KEY=VALUE,…], several separated by commas";
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
        assert_eq!(providers.of("speech_decoder"), providers.of("codec_encoder"), "a group is all graphs of its role");
        assert_eq!(providers.of("llm"), [Provider::new("cpu")]);
        assert_eq!(providers.of("audio_encoder"), providers.of("embed"));
        assert_eq!(providers.distinct().len(), 3);
    }

    #[test]
    fn a_graph_that_the_package_lacks_is_refused() {
        let providers = parsed("heads=cpu,enhancer=cpu,speech_head=cpu");
        assert!(providers.check(["speech_head"].into_iter()).is_ok(), "packages usually have the others");
        let error = providers.check(["embed", "text_head"].into_iter()).unwrap_err();
        assert!(error.message().contains("\"speech_head\", but the package has embed, text_head"), "{error}");
    }

    #[test]
    fn auto_takes_no_options() {
        for text in ["auto:vnni=0", "llm=auto:foo=1,cpu"] {
            let providers: Providers = text.parse().unwrap();
            let error = providers.check(std::iter::empty()).unwrap_err();
            assert!(error.message().contains("takes no options"), "{error}");
        }
        "auto,cpu:vnni=0".parse::<Providers>().unwrap().check(std::iter::empty()).unwrap();
    }

    #[test]
    fn commas_and_colons_may_stand_in_values() {
        let providers = parsed(r"openvino:device_type=HETERO:NPU\,GPU,cache_dir=C:\\models");
        let providers = providers.of("llm");
        let options = providers[0].options();
        assert_eq!(options[0], ("device_type".into(), "HETERO:NPU,GPU".into()));
        assert_eq!(options[1], ("cache_dir".into(), r"C:\models".into()));
    }

    #[test]
    fn a_written_list_is_parsed_back() {
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
    fn malformed_lists_are_refused() {
        for (text, words) in [
            ("", "a name is missing"),
            ("cuda,,cpu", "a name is missing"),
            ("cuda:device", "an option has no value"),
            ("ears=cuda", "\"ears\" is not a graph"),
            ("llm=", "a name is missing"),
            ("a\0b", "NUL"),
        ] {
            let error = text.parse::<Providers>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(words), "{text:?}: {error}");
        }
    }
}
