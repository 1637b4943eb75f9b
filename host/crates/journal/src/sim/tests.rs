use super::*;

const FILE: &str = "/f";

fn write(file: &dyn File, bytes: &[u8], at: u64) -> usize {
    file.write_at(&[IoSlice::new(bytes)], at).unwrap()
}

fn durable(sim: &SimFs) -> Arc<dyn File> {
    let file = sim.create(Path::new(FILE)).unwrap();
    write(&*file, &[1; 4096], 0);
    file.sync_all().unwrap();
    sim.sync_dir(Path::new("/")).unwrap();
    file
}

#[test]
fn what_was_synced_stays_and_what_was_not_may_go_in_any_mixture() {
    let mut kinds = BTreeSet::new();
    for seed in 0..200 {
        let sim = SimFs::new(seed);
        let file = durable(&sim);
        write(&*file, &[2; 2048], 0);
        write(&*file, &[3; 1024], 4096);
        assert_eq!(sim.contents(FILE).unwrap().len(), 5120, "the cache shows it at once");
        sim.restart(Crash::Power);
        let after = sim.contents(FILE).unwrap();
        assert!(after[2048..4096].iter().all(|byte| *byte == 1), "synced and not written since");
        let kept: Vec<u8> = after.chunks(SECTOR).map(|sector| sector[0]).collect();
        assert!(after.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "sectors are whole");
        kinds.insert(kept);
    }
    assert!(kinds.len() > 20, "only {} outcomes", kinds.len());
}

#[test]
fn a_killed_process_leaves_the_cache() {
    let sim = SimFs::new(1);
    let file = durable(&sim);
    write(&*file, &[2; 100], 0);
    sim.create(Path::new("/g")).unwrap();
    sim.restart(Crash::Kill);
    assert_eq!(sim.contents(FILE).unwrap()[..100], [2; 100]);
    assert!(sim.contents("/g").is_some());
    assert!(file.len().is_err_and(|error| error.to_string().contains("earlier process")));
}

#[test]
fn names_need_their_folder_synced() {
    let mut lost = 0;
    for seed in 0..50 {
        let sim = SimFs::new(seed);
        durable(&sim);
        sim.rename(Path::new(FILE), Path::new("/g")).unwrap();
        sim.restart(Crash::Power);
        assert_ne!(sim.contents(FILE).is_some(), sim.contents("/g").is_some(), "a rename is whole");
        lost += usize::from(sim.contents(FILE).is_some());
    }
    assert!((1..50).contains(&lost), "{lost}");
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next() {
    let mut lost = 0;
    for seed in 0..50 {
        let sim = SimFs::new(seed);
        let file = durable(&sim);
        write(&*file, &[2; 4096], 0);
        sim.fail_sync_after(0);
        assert!(file.sync_data().is_err_and(|error| error.to_string().contains("simulated")));
        file.sync_data().unwrap();
        assert_eq!(sim.contents(FILE).unwrap(), [2; 4096]);
        sim.restart(Crash::Power);
        lost += usize::from(sim.contents(FILE).unwrap() != [2; 4096]);
    }
    assert!(lost > 30, "{lost}");
}

#[test]
fn a_full_disk_takes_what_fits_and_then_nothing() {
    let sim = SimFs::new(1);
    let file = durable(&sim);
    sim.set_capacity(Some(5000));
    assert_eq!(write(&*file, &[2; 2000], 4096), 904);
    let full = |result: io::Result<usize>| assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
    full(file.write_at(&[IoSlice::new(b"x")], 5000));
    assert_eq!(write(&*file, b"x", 10), 1, "room that is there already");
    full(file.allocate(6000).map(|()| 0));
    sim.remove(Path::new(FILE)).unwrap();
    assert_eq!(sim.available(Path::new("/")).unwrap(), 5000);
}

#[test]
fn the_machine_stops_at_the_step_it_was_told() {
    for steps in 0..4 {
        let sim = SimFs::new(1);
        let file = durable(&sim);
        sim.crash_after(steps);
        let done = (0..10).take_while(|index| file.write_at(&[IoSlice::new(b"ab")], index * 2).is_ok()).count();
        assert_eq!((done as u64, sim.is_down()), (steps, true));
        assert!(sim.open(Path::new(FILE)).is_err_and(|error| error.to_string().contains("down")));
        sim.restart(Crash::Power);
        sim.open(Path::new(FILE)).unwrap();
    }
}

#[test]
fn a_lock_is_held_by_one_and_ends_with_the_process() {
    let sim = SimFs::new(1);
    let path = Path::new("/lock");
    let busy = |sim: &SimFs| Fs::lock(sim, path).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    let first = Fs::lock(&sim, path).unwrap();
    assert!(busy(&sim));
    sim.restart(Crash::Kill);
    let second = Fs::lock(&sim, path).unwrap();
    drop(first);
    assert!(busy(&sim), "a guard of an earlier life frees nothing");
    drop(second);
    assert!(!busy(&sim));
}
