//! Ports for those who must be told where to listen: programs of others, receivers that come up late, and
//! places where nobody listens at all.
//!
//! A port that was bound to 0 and let go is the kernel's again: it gives it to the next one that binds 0 or
//! connects, and another test's receiver then stands where nobody should. These are from outside the range
//! that the kernel gives from, so nobody gets one who did not ask for it by number.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};

/// How many ports are looked at; all test programs of a machine share them.
const SPAN: u16 = 12_000;
/// Below are the ports of services.
const LOWEST: u16 = 10_000;
/// Steps between the beginnings of processes whose numbers follow each other.
const STRIDE: u32 = 97;

/// The next port of the loopback on which nobody listens, for streams or for datagrams; each is given once in a
/// process, until all have been.
pub fn free() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ports = ours(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default());
    let span = u32::from(ports.end - ports.start);
    let begin = std::process::id().wrapping_mul(STRIDE);
    (0..span)
        .find_map(|_| {
            let step = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).into()) % span;
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.start + u16::try_from(step).ok()?));
            (TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok()).then_some(addr)
        })
        .context("no port of the loopback is free")
}

/// Ports beside the kernel's range, as `/proc` writes it, on the side that has more of them.
fn ours(kernels: &str) -> Range<u16> {
    let mut ends = kernels.split_whitespace().map_while(|word| word.parse::<u16>().ok());
    let (low, high) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
    let below = low.saturating_sub(SPAN).max(LOWEST)..low.max(LOWEST);
    let above = high.min(u16::MAX - 1) + 1..u16::MAX;
    if below.len() >= above.len() { below } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_are_given_once_and_never_by_the_kernel() {
        let ports: BTreeSet<u16> = (0..200).map(|_| free().expect("a port").port()).collect();
        assert_eq!(ports.len(), 200);
        for _ in 0..200 {
            let kernels = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
            assert!(!ports.contains(&kernels), "{kernels}");
        }
    }

    #[test]
    fn the_larger_side_of_the_range_is_taken() {
        for (kernels, want) in [
            ("32768\t60999\n", 20_768..32_768),
            ("15000 64000", 10_000..15_000),
            ("1024 40000", 40_001..u16::MAX),
            ("10001 65535", 10_000..10_001),
            ("", 20_768..32_768),
        ] {
            assert_eq!(ours(kernels), want, "{kernels:?}");
        }
    }
}
