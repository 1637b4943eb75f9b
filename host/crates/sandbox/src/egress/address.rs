//! Classes of addresses. What is not plainly public needs a grant of its own: a name that a guest
//! may reach must not lead into the operator's network because somebody changed a DNS record.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, by the IANA special-purpose registries (RFC 6890 and successors).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Globally reachable.
    Public,
    /// `0.0.0.0/8`, `::`: on many systems another way to write this machine.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// `fc00::/7` (RFC 4193), `fec0::/10` (RFC 3879, withdrawn but still routed inside).
    UniqueLocal,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// `100.64.0.0/10` (RFC 6598).
    Shared,
    /// Addresses on which clouds answer with credentials of the machine.
    Metadata,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `198.18.0.0/15`, `2001:2::/48`.
    Benchmark,
    /// Documentation networks.
    Documentation,
    /// An IPv4 address inside an IPv6 one that only a translator or tunnel of this network resolves:
    /// 6to4, Teredo, ISATAP, `64:ff9b:1::/48`, IPv4-compatible.
    Tunnel,
    /// Anything else that is set aside.
    Reserved,
}

impl Class {
    /// Words for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::UniqueLocal => "unique local",
            Self::LinkLocal => "link-local",
            Self::Shared => "carrier-grade NAT",
            Self::Metadata => "cloud metadata",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Benchmark => "benchmark",
            Self::Documentation => "documentation",
            Self::Tunnel => "tunnel or translation",
            Self::Reserved => "reserved",
        }
    }

    /// True for what no connection can sensibly be made to, whatever the grant.
    pub fn never(self) -> bool {
        matches!(self, Self::Unspecified | Self::Multicast | Self::Broadcast)
    }
}

/// AWS, GCP, Azure (link-local), Alibaba, Oracle, Azure's wire server, AWS over IPv6, GCP over IPv6.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: [Ipv6Addr; 3] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// The class of an address. Forms that carry an IPv4 address are never better than that address.
pub fn classify(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(v4: Ipv4Addr) -> Class {
    let [a, b, c, _] = v4.octets();
    if METADATA_V4.contains(&v4) {
        return Class::Metadata;
    }
    match (a, b, c) {
        (0, ..) => Class::Unspecified,
        (127, ..) => Class::Loopback,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Class::Private,
        (169, 254, _) => Class::LinkLocal,
        (100, 64..=127, _) => Class::Shared,
        (198, 18..=19, _) => Class::Benchmark,
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Class::Documentation,
        (192, 88, 99) => Class::Tunnel,
        (192, 0, 0) => Class::Reserved,
        (224..=239, ..) => Class::Multicast,
        (240..=255, ..) if v4 == Ipv4Addr::BROADCAST => Class::Broadcast,
        (240..=255, ..) => Class::Reserved,
        _ => Class::Public,
    }
}

fn classify_v6(v6: Ipv6Addr) -> Class {
    let segments = v6.segments();
    if METADATA_V6.contains(&v6) {
        return Class::Metadata;
    }
    if v6 == Ipv6Addr::LOCALHOST {
        return Class::Loopback;
    }
    if v6 == Ipv6Addr::UNSPECIFIED {
        return Class::Unspecified;
    }
    // IPv4-mapped (RFC 4291 §2.5.5.2): the kernel connects to the IPv4 address.
    if let Some(v4) = v6.to_ipv4_mapped() {
        return classify_v4(v4);
    }
    // The well-known NAT64 prefix (RFC 6052) leads where the IPv4 address leads.
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return classify_v4(embedded(segments[6], segments[7]));
    }
    if segments[..3] == [0x64, 0xff9b, 1] {
        return worse(embedded(segments[6], segments[7]));
    }
    match segments[0] {
        // IPv4-compatible (RFC 4291 §2.5.5.1) and IPv4-translated (RFC 2765).
        0 if segments[..6] == [0; 6] || segments[..6] == [0, 0, 0, 0, 0xffff, 0] => worse(embedded(segments[6], segments[7])),
        0x0100 if segments[1..4] == [0, 0, 0] => Class::Reserved,
        // 6to4 (RFC 3056).
        0x2002 => worse(embedded(segments[1], segments[2])),
        // Teredo (RFC 4380): the client's address is stored inverted.
        0x2001 if segments[1] == 0 => worse(embedded(!segments[6], !segments[7])),
        0x2001 if segments[1] == 2 && segments[2] == 0 => Class::Benchmark,
        0x2001 if segments[1] == 0xdb8 => Class::Documentation,
        0x3fff if segments[1] < 0x1000 => Class::Documentation,
        0x2001 if segments[1] < 0x200 => Class::Reserved,
        0x5f00 => Class::Reserved,
        // ISATAP (RFC 5214): the interface identifier ends in the IPv4 address.
        _ if segments[4] & 0xfdff == 0 && segments[5] == 0x5efe => worse(embedded(segments[6], segments[7])),
        0xfc00..=0xfdff => Class::UniqueLocal,
        0xfe80..=0xfebf => Class::LinkLocal,
        0xfec0..=0xfeff => Class::UniqueLocal,
        0xff00..=0xffff => Class::Multicast,
        // Only 2000::/3 is assigned as global unicast.
        0x2000..=0x3fff => Class::Public,
        _ => Class::Reserved,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

/// A tunnel's own class, unless it hides something that has rules of its own.
fn worse(inner: Ipv4Addr) -> Class {
    match classify_v4(inner) {
        Class::Metadata => Class::Metadata,
        _ => Class::Tunnel,
    }
}

/// The address that a connection really goes to, for comparing with networks.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests;
