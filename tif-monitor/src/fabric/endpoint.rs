//! Where agents listen for one another: `tcp/127.0.0.1:7447`.
// spec: FAB-1, FAB-4, SEC-2

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;

/// An address for other agents of the same machine. Between machines whoever can reach it could act as any agent: that takes certificates, which are not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(SocketAddr);

/// Why it is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// Not of the form.
    #[error("{0:?} is no endpoint: write `tcp/ADDRESS:PORT`, as tcp/127.0.0.1:7447")]
    Malformed(String),
    /// Others than this machine could reach it.
    #[error(
        "{0} can be reached from other machines, and agents do not prove to each other who they are yet: use a loopback address, and a tunnel to others"
    )]
    NotLoopback(SocketAddr),
    /// No port in particular: nobody would find it.
    #[error("{0} has no port: others must know where to connect")]
    NoPort(SocketAddr),
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Endpoint, NoEndpoint> {
        let address = text.strip_prefix("tcp/").and_then(|rest| rest.parse::<SocketAddr>().ok());
        let address = address.ok_or_else(|| NoEndpoint::Malformed(text.to_owned()))?;
        if !address.ip().is_loopback() {
            return Err(NoEndpoint::NotLoopback(address));
        }
        if address.port() == 0 {
            return Err(NoEndpoint::NoPort(address));
        }
        Ok(Endpoint(address))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = NoEndpoint;

    fn try_from(text: String) -> Result<Endpoint, NoEndpoint> {
        text.parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: FAB-4, SEC-2
    #[test]
    fn only_what_this_machine_alone_can_reach_is_taken() {
        for good in ["tcp/127.0.0.1:7447", "tcp/127.9.9.9:1", "tcp/[::1]:7447"] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        for (bad, why) in [
            ("127.0.0.1:7447", "write `tcp/ADDRESS:PORT`"),
            ("tcp/localhost:7447", "write `tcp/ADDRESS:PORT`"),
            ("tls/127.0.0.1:7447", "write `tcp/ADDRESS:PORT`"),
            ("tcp/127.0.0.1", "write `tcp/ADDRESS:PORT`"),
            ("tcp/127.0.0.1:7447#so_sndbuf=1", "write `tcp/ADDRESS:PORT`"),
            ("tcp/127.0.0.1:0", "has no port"),
            ("tcp/0.0.0.0:7447", "other machines"),
            ("tcp/[::]:7447", "other machines"),
            ("tcp/192.168.1.1:7447", "other machines"),
            ("tcp/[::ffff:192.168.1.1]:7447", "other machines"),
        ] {
            let error = bad.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
