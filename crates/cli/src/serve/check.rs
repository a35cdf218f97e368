//! `serve --check`: checks the health of a server on this machine, for containers without another HTTP client.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use ualm::{Error, ErrorKind, Result};

/// The time limit for connecting, and for each part of the response.
const TIMEOUT: Duration = Duration::from_secs(4);
/// The maximum size of the response, in bytes.
const LONGEST: u64 = 4096;

/// Checks the health of the server that listens at `listen`.
pub fn check(listen: SocketAddr) -> Result<()> {
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let response = get_health(address).map_err(|error| {
        Error::new(ErrorKind::Io, format!("{address} does not answer: does `ualm serve` listen there?"))
            .with_source(error)
    })?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, format!("{address} is not healthy: status {status:?}, {}", body.trim())))
}

/// Returns the address at which this machine reaches a server that listens at `address`.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn get_health(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
    let mut response = Vec::new();
    stream.take(LONGEST).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}
