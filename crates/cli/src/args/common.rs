//! The options of every command.

use std::path::PathBuf;

use clap::ArgAction;
use ualm::Providers;

use super::LimitFlags;
use crate::system::PATH_DELIMITER;

/// Options of every command.
#[derive(clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// Model package: a folder, or OWNER/NAME[@REVISION] on the hub (docs/models.md); by default the one that ships
    /// with the program
    #[arg(long, short, global = true, env = "UALM_MODEL", value_name = "PACKAGE")]
    pub model: Option<PathBuf>,
    /// Accept the licence of a hub package that restricts its use
    #[cfg(feature = "hub")]
    #[arg(long, global = true, hide_short_help = true, alias = "accept-license", env = "UALM_ACCEPT_LICENCE", value_parser = clap::builder::FalseyValueParser::new())]
    pub accept_licence: bool,
    /// ONNX Runtime's shared library; by default the one in ORT_DYLIB_PATH, beside the program, or in the cache
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIBRARY", value_name = "FILE")]
    pub library: Option<PathBuf>,
    /// Number of compute threads; by default all that the process may use
    #[arg(long, global = true, hide_short_help = true, env = "UALM_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Execution provider: cpu, cuda, coreml, openvino, webgpu …, several in order of preference, or auto
    /// (docs/providers.md) [default: cpu]
    #[arg(long, global = true, env = "UALM_PROVIDER", value_name = "NAME")]
    pub provider: Option<Providers>,
    /// Plugin library with execution providers (repeatable); plugins beside ONNX Runtime's library are found without
    /// this
    #[arg(long, global = true, hide_short_help = true, env = "UALM_PROVIDER_LIBRARY", value_name = "FILE", value_delimiter = PATH_DELIMITER)]
    pub provider_library: Vec<PathBuf>,
    /// Time limit for loading a library [default: 120]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LOAD_TIMEOUT", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub load_timeout: Option<u32>,
    /// Use less memory, above all for long recordings (docs/edge.md)
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LOW_MEMORY", value_parser = clap::builder::FalseyValueParser::new())]
    pub low_memory: bool,
    /// File with defaults for these options (docs/providers.md); by default ualm/config.toml in the user's
    /// configuration folder
    #[arg(long, global = true, hide_short_help = true, env = "UALM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true, env = "UALM_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
    /// Print no progress and no notes; errors and warnings remain
    #[arg(long, short, global = true, env = "UALM_QUIET", value_parser = clap::builder::FalseyValueParser::new())]
    pub quiet: bool,
    /// Print help; --help --all lists every option
    #[arg(long, short, global = true, action = ArgAction::HelpShort)]
    help: Option<bool>,
    #[command(flatten)]
    pub limits: LimitFlags,
}
