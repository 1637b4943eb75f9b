use bulkhead_core::{EventRef, Severity, Tenant};

use super::{Decision, Route, Router, RouterError};
use crate::condition::tests::Sample;
use crate::{Condition, Filter, LaneIndex, LaneSet, MAX_DEPTH, MAX_LANES, TypeName};

fn route(id: &str, when: Condition, to: &[u16]) -> Route {
    Route {
        id: id.into(),
        name: id.into(),
        when,
        to: to.iter().map(|lane| LaneIndex(*lane)).collect(),
        tenant: None,
        exclusive: false,
        beside: false,
        priority: 100,
    }
}

fn of_type(name: &str) -> Condition {
    Condition::EventType(vec![TypeName::new(name)])
}

#[track_caller]
fn check(router: &Router, sample: &Sample, decision: Decision, want: &[u16], rules: &[&str]) {
    let stored = sample.stored();
    let event = EventRef::new(&stored).expect("stored event");
    let mut lanes = router.lane_set();
    lanes.insert(LaneIndex(0)); // What the event before left must not matter.
    let mut matched = Vec::new();
    assert_eq!(router.route_with(&event, &mut lanes, |id| matched.push(id.to_owned())), decision, "{sample:?}");
    assert_eq!(lanes.iter().map(|lane| lane.0).collect::<Vec<_>>(), want, "{sample:?}");
    assert_eq!(matched, rules, "{sample:?}");
    assert_eq!(router.route(&event, &mut lanes), decision);
    assert_eq!(lanes.len(), want.len());
}

#[test]
fn rules_add_up_and_a_lane_is_reached_once() {
    let routes =
        vec![route("a", of_type("SecurityEvent"), &[1, 70]), route("b", Condition::MinSeverity(Severity::High), &[70, 2]), route("c", Condition::Never, &[3])];
    let router = Router::new(routes, &[LaneIndex(5)], vec![], 71).expect("fits");
    check(&router, &Sample::of("SecurityEvent", Severity::High), Decision::Matched, &[1, 2, 70], &["a", "b"]);
    check(&router, &Sample::of("SecurityEvent", Severity::Low), Decision::Matched, &[1, 70], &["a"]);
    check(&router, &Sample::of("x", Severity::Low), Decision::Default, &[5], &[]);
}

#[test]
fn smaller_priority_first_then_the_order_of_the_file_and_exclusive_ends_it() {
    let mut last = route("last", Condition::Always, &[0]);
    last.priority = 1000;
    let mut only = route("only", of_type("SecurityEvent"), &[1]);
    (only.priority, only.exclusive) = (10, true);
    let mut first = route("first", Condition::MinSeverity(Severity::High), &[2]);
    first.priority = -5;
    let router = Router::new(vec![last, route("b", Condition::Always, &[3]), route("a", Condition::Always, &[4]), only, first], &[], vec![], 5).expect("fits");
    check(&router, &Sample::of("SecurityEvent", Severity::Low), Decision::Matched, &[1], &["only"]);
    check(&router, &Sample::of("SecurityEvent", Severity::High), Decision::Matched, &[1, 2], &["first", "only"]);
    check(&router, &Sample::of("x", Severity::High), Decision::Matched, &[0, 2, 3, 4], &["first", "b", "a", "last"]);
}

#[test]
fn a_global_filter_comes_before_everything() {
    let router = Router::new(vec![route("a", Condition::Always, &[1])], &[LaneIndex(0)], vec![Filter::SeverityThreshold(Severity::Medium)], 2).expect("fits");
    check(&router, &Sample::of("x", Severity::Low), Decision::Dropped("severity_threshold"), &[], &[]);
    check(&router, &Sample::of("x", Severity::High), Decision::Matched, &[1], &["a"]);
}

#[test]
fn without_a_default_route_an_unmatched_event_is_unrouted() {
    let router = Router::new(vec![route("a", Condition::Never, &[1])], &[], vec![], 2).expect("fits");
    check(&router, &Sample::default(), Decision::Unrouted, &[], &[]);
}

#[test]
fn bad_tables_are_refused() {
    let new = |routes, default: &[LaneIndex], lanes| Router::new(routes, default, vec![], lanes).expect_err("refused");
    assert_eq!(new(vec![], &[], MAX_LANES + 1), RouterError::TooManyLanes(MAX_LANES + 1));
    assert_eq!(new(vec![], &[LaneIndex(3)], 3), RouterError::UnknownLane { route: "default_route".into(), lane: 3, lanes: 3 });
    assert_eq!(new(vec![route("a", Condition::Always, &[9])], &[], 3), RouterError::UnknownLane { route: "a".into(), lane: 9, lanes: 3 });
    assert_eq!(new(vec![route("a", Condition::Always, &[]), route("a", Condition::Never, &[])], &[], 3), RouterError::DuplicateId("a".into()));
    let deep = (0..MAX_DEPTH).fold(Condition::Always, |inner, _| Condition::Not(Box::new(inner)));
    assert_eq!(new(vec![route("deep", deep, &[])], &[], 3), RouterError::TooDeep("deep".into()));
}

#[test]
fn sets_have_a_bound() {
    let mut set = LaneSet::new(65);
    for lane in [0, 64, 127, 128, 4095] {
        set.insert(LaneIndex(lane));
    }
    assert!(set.contains(LaneIndex(64)) && !set.contains(LaneIndex(128)) && !set.contains(LaneIndex(u16::MAX)));
    assert_eq!(set.iter().map(|lane| lane.0).collect::<Vec<_>>(), [0, 64, 127]);
    assert_eq!(set.words(), [1, 1 | 1 << 63]);
    set.clear();
    assert!(set.is_empty());
}

/// Rules that name types are found by type; what matches and in which order stays as the file says.
#[test]
fn rules_by_type_keep_their_order() {
    let types = |names: &[&str]| Condition::EventType(names.iter().map(|name| TypeName::new(name)).collect());
    let with = |condition| Condition::And(vec![Condition::MinSeverity(Severity::Low), condition]);
    let mut routes = vec![
        route("any", Condition::Always, &[1]),
        route("one", of_type("SecurityEvent"), &[2]),
        route("below", of_type("copybook.*"), &[3]),
        route("either", Condition::Or(vec![of_type("x"), with(of_type("security_event"))]), &[4]),
        route("or any", Condition::Or(vec![of_type("x"), Condition::MinSeverity(Severity::High)]), &[5]),
        route("not", Condition::Not(Box::new(of_type("SecurityEvent"))), &[6]),
        route("twice", types(&["SecurityEvent", "copybook.security_event", "x"]), &[7]),
        route("never", Condition::Never, &[8]),
    ];
    routes.extend((0..1000).map(|i| route(&format!("other{i}"), of_type(&format!("other{i}")), &[9])));
    routes.push(route("last", of_type("copybook.security_event"), &[10]));
    let router = Router::new(routes, &[], vec![], 11).expect("fits");
    let sample = Sample::of("copybook.security_event", Severity::High);
    check(&router, &sample, Decision::Matched, &[1, 2, 3, 4, 5, 7, 10], &["any", "one", "below", "either", "or any", "twice", "last"]);
    check(&router, &Sample::of("other7", Severity::Low), Decision::Matched, &[1, 6, 9], &["any", "not", "other7"]);
}

/// A rule beside the others takes no event away from the default route.
#[test]
fn rules_beside_the_others_leave_the_default_route_alone() {
    let beside = |id: &str, to: &[u16]| Route { beside: true, priority: -1, ..route(id, Condition::Always, to) };
    let sample = Sample::of("t", Severity::Low);
    let router = |routes, default: &[LaneIndex]| Router::new(routes, default, vec![], 3).expect("fits");
    check(&router(vec![beside("b", &[1])], &[LaneIndex(2)]), &sample, Decision::Default, &[1, 2], &["b"]);
    check(&router(vec![beside("b", &[1])], &[]), &sample, Decision::Matched, &[1], &["b"]);
    check(&router(vec![route("a", Condition::Always, &[0]), beside("b", &[1])], &[LaneIndex(2)]), &sample, Decision::Matched, &[0, 1], &["b", "a"]);
}

/// A tenant's rules see its events alone, and keep none of them from the rules of the operator.
#[test]
fn rules_of_a_tenant_see_its_events_alone() {
    let of = |id: &str, tenant: &str, to: &[u16]| Route { tenant: Tenant::new(tenant), ..route(id, Condition::Always, to) };
    let first = |route: Route| Route { exclusive: true, priority: -1, ..route };
    let routes = vec![of("b", "b", &[2]), route("all", Condition::Always, &[0]), first(of("a", "a", &[1])), of("a too", "a", &[3]), of("d", "default", &[4])];
    let router = Router::new(routes, &[LaneIndex(5)], vec![], 6).expect("fits");
    let sample = |tenant: Option<&str>| {
        let mut sample = Sample::of("t", Severity::Low);
        sample.tenant = tenant.map(str::to_owned);
        sample
    };
    check(&router, &sample(Some("a")), Decision::Matched, &[0, 1], &["a", "all"]);
    check(&router, &sample(Some("b")), Decision::Matched, &[0, 2], &["b", "all"]);
    check(&router, &sample(None), Decision::Matched, &[0, 4], &["all", "d"]);
    let router = Router::new(vec![of("a", "a", &[1])], &[LaneIndex(5)], vec![], 6).expect("fits");
    check(&router, &sample(Some("b")), Decision::Default, &[5], &[]);
    check(&router, &sample(Some("a")), Decision::Matched, &[1], &["a"]);
    // What the host tells of itself is no tenant's, not even the default one's.
    let own = Sample { own: true, ..Sample::of("bulkhead.started", Severity::Low) };
    check(&Router::new(vec![of("d", "default", &[1])], &[], vec![], 2).expect("fits"), &own, Decision::Unrouted, &[], &[]);
}

/// What was bound to a lane of the same name before it was somebody else's is not for it.
#[test]
fn a_lane_gets_nothing_that_was_bound_to_the_one_before() {
    let router = Router::new(vec![], &[], vec![], 2).expect("fits").with_owners_since([(LaneIndex(1), 50)].into());
    assert!(!router.is_for(LaneIndex(1), 49) && router.is_for(LaneIndex(1), 50) && router.is_for(LaneIndex(0), 0));
}
