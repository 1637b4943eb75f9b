use super::*;

fn sets(lanes: usize, events: &[&[u16]]) -> FrameRoutes {
    let mut set = LaneSet::new(lanes);
    let mut collect = Collect::new(set.words().len(), events.len());
    for event in events {
        set.clear();
        event.iter().for_each(|lane| set.insert(LaneIndex(*lane)));
        collect.add(&set);
    }
    FrameRoutes { generation: 1, sets: collect.done() }
}

/// Few lanes are kept as bits, many as lists; nobody can tell.
#[test]
fn few_lanes_and_many_say_the_same() {
    let events: [&[u16]; 5] = [&[1, 70], &[1, 70], &[], &[130], &[1]];
    let (few, many) = (sets(200, &events), sets(9_000, &events));
    assert!(matches!((&few.sets, &many.sets), (Sets::Words { .. }, Sets::Lists { .. })));
    for routes in [few, many] {
        for (index, event) in events.iter().enumerate() {
            for lane in 0..200 {
                assert_eq!(routes.wants(index, LaneIndex(lane)), event.contains(&lane), "event {index}, lane {lane}");
            }
        }
        assert!(!routes.wants(5, LaneIndex(1)) && !routes.wants(0, LaneIndex(8_999)));
        let mut told = std::collections::BTreeSet::new();
        routes.each_lane(|lane| {
            told.insert(lane.0);
        });
        assert_eq!(told.into_iter().collect::<Vec<_>>(), [1, 70, 130]);
    }
}
