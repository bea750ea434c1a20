use std::thread;

use bytes::Bytes;

use super::super::disk::Content;
use super::*;

fn content(disk: &Disk, path: &str) -> Bytes {
    match disk.read(path).unwrap().unwrap().content {
        Content::Whole(bytes) => bytes,
        Content::Large(..) => panic!("`{path}` is not small"),
    }
}

fn publish(disk: &Disk, bytes: &[u8], mode: Mode) -> bool {
    let permit = Permit {
        guard: CommitGuard::always_open(),
        wanted: &Wanted::ALWAYS,
    };
    let kind = Kind {
        mode,
        access: Access::ReadOnly,
        metadata: Some("v=1".to_owned()),
        durability: Durability::Process,
    };
    let written = disk.publish("a/b", bytes, &kind, &permit);
    written.unwrap() == Written::Done
}

#[test]
fn one_winner_by_renaming() {
    race(false);
}

#[test]
fn one_winner_by_links_where_renaming_can_not_refuse() {
    race(true);
}

fn race(only_links: bool) {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path().to_owned());
    disk.only_links.store(only_links, Ordering::Relaxed);
    let create = |racer: u8| publish(&disk, &[racer; 9], Mode::Create);
    let winners: Vec<u8> = thread::scope(|scope| {
        let race = |racer| scope.spawn(move || create(racer).then_some(racer));
        let racers: Vec<_> = (0..16).map(race).collect();
        racers
            .into_iter()
            .filter_map(|racer| racer.join().unwrap())
            .collect()
    });
    assert_eq!(winners.len(), 1);
    assert_eq!(content(&disk, "a/b"), [winners[0]; 9].as_slice());
    assert!(publish(&disk, b"x", Mode::Replace));
    assert_eq!(content(&disk, "a/b"), "x");
    let scratch = disk.scratch().unwrap();
    let left = fs::read_dir(scratch.directory()).unwrap().count();
    assert_eq!(left, 0, "no temporary stays");
}
