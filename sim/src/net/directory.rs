//! Who is where: the names of hosts, as DNS would tell them if it were never late.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// Names and addresses, shared by a network and all of its hosts.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory(Arc<Mutex<BTreeMap<String, IpAddr>>>);

impl Directory {
    /// `name` is this address from now on.
    pub(super) fn set(&self, name: &str, address: IpAddr) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned(), address);
    }

    /// Where to connect for a name, or for an address as text.
    pub(super) fn resolve(&self, host: &str, port: u16) -> io::Result<SocketAddr> {
        if let Ok(address) = host.parse() {
            return Ok(SocketAddr::new(address, port));
        }
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(host) {
            Some(address) => Ok(SocketAddr::new(*address, port)),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no host of this name",
            )),
        }
    }
}
