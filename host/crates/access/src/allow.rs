//! The networks that a key may be used from.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks that one key names.
pub const MOST_NETWORKS: usize = 64;

/// Why a list of networks is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowError {
    #[error("`{0}` is no network; write 10.1.0.0/16, or an address such as 10.1.2.3")]
    Network(String),
    #[error("{0} networks; a key names at most {MOST_NETWORKS}")]
    TooMany(usize),
}

/// Networks; none means everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow(Vec<IpNet>);

impl Allow {
    /// Networks and lone addresses.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, AllowError> {
        let one = |text: &str| {
            let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(|addr| IpNet::from(addr.to_canonical())));
            net.map(|net| net.trunc()).ok_or_else(|| AllowError::Network(text.escape_default().take(64).collect()))
        };
        let networks = texts.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
        if networks.len() > MOST_NETWORKS {
            return Err(AllowError::TooMany(networks.len()));
        }
        Ok(Self(networks))
    }

    /// An IPv4 address in IPv6 clothes counts as what it is.
    pub fn holds(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.0.is_empty() || self.0.iter().any(|net| net.contains(&addr))
    }

    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(networks: &[&str], addr: &str, holds: bool) {
        let allow = Allow::parse(networks.iter().copied()).expect("networks");
        assert_eq!(allow.holds(addr.parse().expect("an address")), holds, "{networks:?} {addr}");
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        check(&[], "203.0.113.9", true);
        check(&["10.1.0.0/16"], "10.1.255.255", true);
        check(&["10.1.0.0/16"], "10.2.0.0", false);
        check(&["10.1.2.3"], "10.1.2.3", true);
        check(&["10.1.2.3"], "10.1.2.4", false);
        check(&["10.1.2.3/16"], "10.1.9.9", true);
        check(&["10.1.0.0/16"], "::ffff:10.1.2.3", true);
        check(&["::ffff:10.1.2.3"], "10.1.2.3", true);
        check(&["10.1.0.0/16"], "::1", false);
        check(&["2001:db8::/32", "::1"], "::1", true);
        check(&["2001:db8::/32"], "2001:db9::1", false);
        check(&["0.0.0.0/0"], "::1", false);
    }

    #[test]
    fn what_is_no_network_is_named() {
        for bad in ["", "10.1.0.0/33", "everywhere", "10.1.0.0/16 ", "10.1", "fe80::1%eth0"] {
            assert_eq!(Allow::parse([bad]), Err(AllowError::Network(bad.into())));
        }
        let many = vec!["10.0.0.1"; MOST_NETWORKS + 1];
        assert_eq!(Allow::parse(many), Err(AllowError::TooMany(MOST_NETWORKS + 1)));
        assert_eq!(Allow::parse(["10.1.2.3/16", "::1"]).expect("networks").texts(), ["10.1.0.0/16", "::1/128"]);
    }
}
