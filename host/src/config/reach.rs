//! How far stored entries of a tenant reach: public addresses, and what `stored.webhooks.allow` lends. A tenant is a
//! customer, not whoever owns the network: without this an instance of theirs could ask this machine, its neighbours,
//! or what another tenant has there.

use serde_json::Value as Json;

use super::objects::Lent;
use super::stored::{Entry, Section};

/// Where an entry says too much, why, and what to do.
type Refused = (String, String, String);

pub(super) fn beyond(entry: &Entry, lent: &Lent) -> Vec<Refused> {
    let mut refused = Vec::new();
    match entry.section {
        Section::Instances => {
            for (name, destination) in entry.definition["destinations"].as_object().into_iter().flatten() {
                let at = format!("/destinations/{}", name.replace('~', "~0").replace('/', "~1"));
                look(&at, destination, lent, &mut refused);
            }
        }
        Section::Credentials => look("/token_url", &entry.definition["token_url"], lent, &mut refused),
        _ => {}
    }
    refused
}

/// A destination, as a URL alone or as a map.
fn look(at: &str, destination: &Json, lent: &Lent, refused: &mut Vec<Refused>) {
    const HINT: &str = "name its network in `stored.webhooks.allow` of the configuration file";
    let mut refuse = |at: String, message: String| refused.push((at, message, HINT.to_owned()));
    let mut url = |at: String, text: &Json| {
        if let Some(address) = text.as_str().and_then(|text| lent.refuses(text)) {
            refuse(at, format!("`{address}` is no public address, and entries of a tenant reach no other"));
        }
    };
    if destination.is_string() {
        return url(at.to_owned(), destination);
    }
    url(format!("{at}/url"), &destination["url"]);
    for (key, scheme) in [("urls", ""), ("members", "tcp://")] {
        for (n, one) in destination[key].as_array().into_iter().flatten().enumerate() {
            url(format!("{at}/{key}/{n}"), &Json::from(format!("{scheme}{}", one.as_str().unwrap_or_default())));
        }
    }
    for (n, network) in destination["addresses"].as_array().into_iter().flatten().enumerate() {
        if let Some(network) = network.as_str().filter(|network| !lent.lends(network)) {
            refuse(format!("{at}/addresses/{n}"), format!("`{network}` is not lent to entries of a tenant"));
        }
    }
    if destination["allow_metadata"] == true {
        refuse(format!("{at}/allow_metadata"), "metadata services of clouds are not for entries of a tenant".to_owned());
    }
}
