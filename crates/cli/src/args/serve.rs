//! The arguments of `ualm serve`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::value::{parse_bytes, parse_seconds};

#[derive(clap::Args)]
pub struct Serve {
    /// Address and port to listen on; port 0 picks a free port, which is printed
    #[arg(long, env = "UALM_LISTEN", value_name = "ADDRESS:PORT", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080))]
    pub listen: SocketAddr,
    /// Only check the health of the server that listens there, as a container's health check does: exit code 0 if it is
    /// healthy
    #[arg(long, hide_short_help = true)]
    pub check: bool,
    /// File of API keys that clients may use, one per line
    #[arg(long, env = "UALM_API_KEYS", value_name = "FILE")]
    pub api_keys: Option<PathBuf>,
    /// Serve other machines without API keys
    #[arg(long, env = "UALM_WITHOUT_KEYS", conflicts_with = "api_keys", value_parser = clap::builder::FalseyValueParser::new())]
    pub without_keys: bool,
    /// Origin whose pages may call the server, as in https://example.org (repeatable)
    #[arg(long, env = "UALM_CORS", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors: Vec<String>,
    /// Host name of requests besides localhost, as from a proxy (repeatable); checked on loopback addresses without
    /// keys
    #[arg(long, hide_short_help = true, env = "UALM_HOST_NAME", value_name = "NAME", value_delimiter = ',')]
    pub host_name: Vec<String>,
    /// Another name for the model (repeatable)
    #[arg(long, hide_short_help = true, env = "UALM_ALIAS", value_name = "NAME", value_delimiter = ',')]
    pub alias: Vec<String>,
    /// Another name for the voice "default" (repeatable)
    #[arg(long, hide_short_help = true, env = "UALM_VOICE", value_name = "NAME", value_delimiter = ',')]
    pub voice: Vec<String>,
    /// Number of requests to answer at the same time
    #[arg(long, env = "UALM_SLOTS", value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub slots: u16,
    /// Length of the request queue; further requests are refused
    #[arg(long, hide_short_help = true, env = "UALM_QUEUE", value_name = "N", default_value_t = 32)]
    pub queue: u16,
    /// Time limit for a request, with its time in the queue, in seconds
    #[arg(long, hide_short_help = true, env = "UALM_DEADLINE", value_name = "SECONDS", default_value_t = 600.0, value_parser = parse_seconds)]
    pub deadline: f64,
    /// Time limit for requests in progress after SIGTERM or SIGINT, in seconds
    #[arg(long, hide_short_help = true, env = "UALM_GRACE", value_name = "SECONDS", default_value_t = 25.0, value_parser = parse_seconds)]
    pub grace: f64,
    /// Time limit for a client that stops sending its request or reading its response, in seconds
    #[arg(long, hide_short_help = true, env = "UALM_CLIENT_TIMEOUT", value_name = "SECONDS", default_value_t = 30.0, value_parser = parse_seconds)]
    pub client_timeout: f64,
    /// Size limit for a request
    #[arg(long, hide_short_help = true, env = "UALM_LIMIT_BODY", value_name = "BYTES", default_value = "32M", value_parser = parse_bytes)]
    pub limit_body: u64,
    /// Memory for the bodies of all requests in progress, held until their replies end
    #[arg(long, hide_short_help = true, env = "UALM_LIMIT_BODIES", value_name = "BYTES", default_value = "256M", value_parser = parse_bytes)]
    pub limit_bodies: u64,
    /// Length limit for the sound of a segment
    #[arg(long, hide_short_help = true, env = "UALM_LIMIT_OUTPUT_SECONDS", value_name = "SECONDS", default_value_t = 60.0, value_parser = parse_seconds)]
    pub limit_output_seconds: f64,
    /// Number of open connections
    #[arg(long, hide_short_help = true, env = "UALM_LIMIT_CONNECTIONS", value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    pub limit_connections: u16,
}
