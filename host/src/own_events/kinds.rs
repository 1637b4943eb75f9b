//! Every kind of own event, and what it means.

/// Behind `bulkhead.`.
pub const KINDS: &[(&str, &str)] = &[
    ("started", "The host takes events."),
    ("stopped", "The host ends; what is not delivered is on disk."),
    ("reloaded", "Another configuration is in force."),
    ("reload_failed", "A new configuration was not taken."),
    ("key.expires", "An API key ends within a month."),
    ("sign_in.token_reused", "A refresh token of a session was shown twice; the session has ended."),
    ("webhook.disabled", "The host sends nothing more to a webhook: its receiver is gone, or failed for too long."),
    ("webhook.test", "A test of one webhook, sent to it alone."),
    ("component.rolled_back", "An older version of a component runs again."),
    ("integrity.gap", "Events of a hash chain are missing."),
    ("integrity.fork", "Two events of a hash chain follow the same one."),
    ("integrity.tampered", "An event of a hash chain was changed."),
    ("integrity.restarted", "A hash chain began anew."),
    ("integrity.resolved", "A hash chain is whole again."),
    ("files.unreadable", "A file that is followed cannot be read."),
    ("files.recovered", "It can be read again."),
    ("files.stopped", "Files of an entry are not followed any more."),
    ("sync.failed", "A pull fails; it is tried again."),
    ("sync.recovered", "It works again."),
    ("sync.completed", "A run by cron, by hand or by an event came to its end."),
    ("sync.left_out", "Records of a pull are no events, and were left out."),
    ("breaker.opened", "A receiver fails, and is left alone for a while."),
    ("breaker.closed", "It is well again."),
    ("instance.quarantined", "Guests of an instance break; its events wait."),
    ("instance.error", "An instance needs somebody; its events wait."),
    ("instance.recovered", "It goes on."),
    ("dead_letter.added", "Events were given up, and kept as dead letters."),
    ("dead_letter.dropped", "Dead letters were deleted, as configured."),
    ("dead_letter.limit", "The store of dead letters is full, or has room again."),
    ("journal.lost", "Accepted events cannot be read any more."),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is raised is listed, and nothing else.
    #[test]
    fn every_kind_has_its_meaning() {
        let source = include_str!("describe.rs");
        let mut raised: Vec<&str> = source.match_indices(", Level::").filter_map(|(at, _)| source[..at].strip_suffix('"')?.rsplit('"').next()).collect();
        raised.extend(["instance.quarantined", "instance.error", "component.rolled_back"].into_iter().filter(|kind| source.contains(&format!("\"{kind}\""))));
        raised.extend(source.contains("STOPPED: &str = \"stopped\"").then_some("stopped"));
        raised.extend(source.contains("\"integrity.resolved\"").then_some("integrity.resolved"));
        raised.sort_unstable();
        raised.dedup();
        let mut listed: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        listed.sort_unstable();
        assert_eq!(listed, raised);
    }
}
