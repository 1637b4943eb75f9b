use super::*;

const LEASE: Duration = Duration::from_secs(15);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1_000 + seconds)
}

fn table(holder: &str, term: i64, beat: i64) -> BTreeMap<Arc<str>, Lease> {
    [(Arc::from("a"), Lease { name: "pull/a".into(), holder: holder.into(), term, beat })].into()
}

fn ledger(shared: bool) -> (Ledger, Arc<str>) {
    let (mut ledger, name) = (Ledger::new(LEASE, shared), Arc::from("a"));
    ledger.want(&name);
    (ledger, name)
}

fn names(takes: &[Take]) -> Vec<(&str, Option<i64>)> {
    takes.iter().map(|(name, seen)| (&**name, seen.as_ref().map(|lease| lease.term))).collect()
}

#[test]
fn what_nobody_has_is_taken_at_once_and_held_as_long_as_it_is_renewed() {
    let (mut ledger, name) = ledger(true);
    let (takes, moved) = ledger.look("me", BTreeMap::new(), at(0), at(0));
    assert_eq!((names(&takes), moved, ledger.term("a", at(0))), (vec![("a", None)], false, None));
    ledger.took(&name, 1, at(0));
    assert_eq!(ledger.look("me", table("me", 1, 1), at(3), at(4)), (vec![], false));
    // Ten seconds from when the sign was sent, not from when its answer came.
    assert_eq!((ledger.term("a", at(12)), ledger.term("a", at(13))), (Some(1), None));
    // Not renewed and still ours: nobody else wanted it.
    assert_eq!(ledger.look("me", table("me", 1, 2), at(60), at(60)), (vec![], false));
    assert_eq!(ledger.term("a", at(61)), Some(1));
    ledger.release(&name);
    assert_eq!((ledger.given_up("me"), ledger.term("a", at(61))), (vec![Arc::clone(&name)], None));
    assert_eq!(ledger.look("me", table("", 1, 3), at(62), at(62)).0, vec![], "it is not wanted any more");
}

#[test]
fn another_hosts_is_taken_once_it_shows_no_sign_of_life_by_our_clock() {
    let (mut ledger, _) = ledger(true);
    assert_eq!(ledger.look("me", table("other", 4, 7), at(0), at(0)).0, vec![]);
    assert_eq!(ledger.elsewhere("a", "me").as_deref(), Some("other"));
    assert_eq!(ledger.look("me", table("other", 4, 8), at(14), at(14)).0, vec![], "it lives");
    assert_eq!(ledger.look("me", table("other", 4, 8), at(28), at(28)).0, vec![], "fourteen seconds");
    assert_eq!(names(&ledger.look("me", table("other", 4, 8), at(29), at(29)).0), [("a", Some(4))]);
    // Somebody else was first.
    assert_eq!(ledger.look("me", table("third", 5, 9), at(30), at(30)).0, vec![]);
    assert_eq!(names(&ledger.look("me", table("", 5, 10), at(31), at(31)).0), [("a", Some(5))], "given up: at once");
}

#[test]
fn a_host_that_stood_still_holds_nothing_when_it_comes_back() {
    let (mut ledger, name) = ledger(true);
    ledger.took(&name, 1, at(0));
    assert_eq!(ledger.term("a", at(600)), None, "before it has asked anybody");
    let (takes, moved) = ledger.look("me", table("other", 2, 0), at(600), at(600));
    assert_eq!((takes, moved, ledger.elsewhere("a", "me").as_deref()), (vec![], true, Some("other")));
    // The term of another time is not this one's, though the holder is.
    ledger.took(&name, 3, at(700));
    assert_eq!(names(&ledger.look("me", table("me", 4, 0), at(701), at(701)).0), [("a", Some(4))]);
}

#[test]
fn one_host_with_a_store_of_its_own_waits_for_nobody() {
    let (mut ledger, name) = ledger(false);
    assert_eq!(names(&ledger.look("me", table("before a crash", 4, 7), at(0), at(0)).0), [("a", Some(4))]);
    ledger.took(&name, 5, at(0));
    assert_eq!((ledger.term("a", at(90_000)), ledger.elsewhere("a", "me")), (Some(5), None));
}

#[test]
fn what_two_want_is_kept_until_neither_does() {
    let (mut ledger, name) = ledger(true);
    ledger.took(&name, 1, at(0));
    ledger.want(&name);
    ledger.release(&name);
    assert_eq!(ledger.given_up("me"), Vec::<Arc<str>>::new());
    ledger.release(&name);
    assert_eq!(ledger.given_up("me"), [name]);
}

/// The store did not take it: at the next look the lease is still ours in name, and is given up again.
#[test]
fn what_could_not_be_given_up_is_given_up_again() {
    let (mut ledger, name) = ledger(true);
    ledger.took(&name, 1, at(0));
    ledger.release(&name);
    assert_eq!(ledger.given_up("me"), [Arc::clone(&name)]);
    assert_eq!(ledger.look("me", table("me", 1, 2), at(3), at(3)).0, vec![], "it is not wanted");
    assert_eq!(ledger.given_up("me"), [name]);
    ledger.look("me", table("", 1, 3), at(6), at(6));
    assert_eq!(ledger.given_up("me"), Vec::<Arc<str>>::new());
}
