//! Where a line of text came from, as the event's data say it.

use std::net::IpAddr;

use bulkhead_core::json::write_escaped;

/// Where a line came from.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// Nothing is known.
    Nowhere,
    Peer {
        addr: IpAddr,
        /// From the client's certificate.
        name: Option<&'a str>,
    },
    File {
        path: &'a str,
        /// Where the line begins.
        offset: u64,
    },
}

impl Origin<'_> {
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Peer { addr, .. } => Some(*addr),
            Self::Nowhere | Self::File { .. } => None,
        }
    }

    /// Members of an object that has others before it or none.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nowhere => {}
            Self::Peer { addr, name } => {
                member("peer", &addr.to_string(), out);
                if let Some(name) = name {
                    member("peer_name", name, out);
                }
            }
            Self::File { path, offset } => {
                member("file", path, out);
                comma(out);
                out.extend_from_slice(format!("\"offset\":{offset}").as_bytes());
            }
        }
    }
}

/// `"key":"value"`, with a comma before it where it is not the first.
pub(crate) fn member(key: &str, value: &str, out: &mut Vec<u8>) {
    comma(out);
    quoted(key, out);
    out.push(b':');
    quoted(value, out);
}

/// A comma unless this is the first member.
pub(crate) fn comma(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'{' | b'[')) {
        out.push(b',');
    }
}

pub(crate) fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}
