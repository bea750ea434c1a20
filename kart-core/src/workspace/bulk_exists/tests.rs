use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;

/// A store that counts what it is asked, and may lie.
#[derive(Default)]
struct Bucket {
    names: BTreeSet<String>,
    lie: Lie,
    pages: AtomicUsize,
    singles: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Lie {
    #[default]
    None,
    /// It begins at the beginning whatever it is asked.
    IgnoresOffset,
    Repeats,
    Backwards,
    /// It leaves every object out.
    Empty,
}

impl Source for Bucket {
    type Error = Infallible;

    async fn page(&self, directory: &str, after: &str) -> Result<Page, Infallible> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        let below = format!("{directory}/");
        let from = match self.lie {
            Lie::IgnoresOffset => "",
            _ => after,
        };
        let mut names = self.names.iter().filter(|name| {
            (directory.is_empty() || name.starts_with(&below)) && name.as_str() > from
        });
        let mut page: Vec<String> = names.by_ref().take(PAGE).cloned().collect();
        let is_last = names.next().is_none();
        match self.lie {
            Lie::Repeats => {
                page = page
                    .into_iter()
                    .flat_map(|name| [name.clone(), name])
                    .collect();
            }
            Lie::Backwards => page.reverse(),
            Lie::Empty => page.clear(),
            Lie::None | Lie::IgnoresOffset => {}
        }
        Ok(Page {
            names: page,
            is_last: is_last || self.lie == Lie::Empty,
        })
    }

    async fn exists(&self, name: &str) -> Result<bool, Infallible> {
        self.singles.fetch_add(1, Ordering::Relaxed);
        Ok(self.names.contains(name))
    }
}

impl Bucket {
    fn new(names: impl IntoIterator<Item = String>, lie: Lie) -> Self {
        Bucket {
            names: names.into_iter().collect(),
            lie,
            ..Bucket::default()
        }
    }

    /// Asks, checks every answer, and gives how many pages and single questions it took.
    fn ask(&self, wanted: &[String]) -> (usize, usize) {
        let Ok(found) = exists_many(self, wanted).now_or_never().unwrap();
        for (name, found) in wanted.iter().zip(found) {
            assert_eq!(found, self.names.contains(name), "{name}");
        }
        let asked = (&self.pages, &self.singles);
        (
            asked.0.load(Ordering::Relaxed),
            asked.1.load(Ordering::Relaxed),
        )
    }
}

fn name(n: u64) -> String {
    format!("leaf/{:016x}.json", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn names(from: u64, count: u64) -> Vec<String> {
    (from..from + count).map(name).collect()
}

#[test]
fn a_few_names_are_asked_for_one_by_one() {
    let bucket = Bucket::new(names(0, 5000), Lie::None);
    assert_eq!(bucket.ask(&names(4990, 20)), (0, 20));
}

#[test]
fn many_names_take_as_many_pages_as_their_listing_has() {
    let bucket = Bucket::new(names(0, 10_000), Lie::None);
    let (pages, singles) = bucket.ask(&names(0, 10_000));
    assert!(pages <= 15, "{pages} pages");
    assert_eq!(singles, 0, "none was left out");
}

#[test]
fn an_empty_directory_takes_a_handful_of_requests() {
    let bucket = Bucket::new([], Lie::None);
    assert_eq!(bucket.ask(&names(0, 10_000)), (SAMPLES, SAMPLES));
}

#[test]
fn a_few_wanted_among_very_many_are_asked_for_one_by_one() {
    let bucket = Bucket::new(names(0, 100_000), Lie::None);
    let (pages, singles) = bucket.ask(&names(99_980, 40));
    assert_eq!(pages, SAMPLES);
    assert!(singles <= 40, "{singles}");
}

#[test]
fn a_sample_near_the_last_name_does_not_multiply_the_pages() {
    let there = names(0, 16_499);
    let wanted: Vec<String> = (0..2210).map(|n| name(32_243 + n * 31)).collect();
    for seed in 0..200 {
        fastrand::seed(seed);
        let (pages, singles) = Bucket::new(there.clone(), Lie::None).ask(&wanted);
        assert!(pages + singles <= 40, "seed {seed}: {pages} + {singles}");
    }
}

#[test]
fn a_listing_that_lies_about_its_order_is_not_believed() {
    for lie in [Lie::IgnoresOffset, Lie::Repeats, Lie::Backwards] {
        let bucket = Bucket::new(names(0, 3000), lie);
        let (pages, _) = bucket.ask(&names(1500, 3000));
        assert!(pages <= 8, "{lie:?}: {pages} pages");
    }
}

#[test]
fn a_listing_that_leaves_objects_out_is_not_believed() {
    let bucket = Bucket::new(names(0, 3000), Lie::Empty);
    assert_eq!(bucket.ask(&names(500, 1000)), (SAMPLES, SAMPLES + 1000));
}

#[test]
fn names_of_one_letter_and_names_without_a_directory() {
    let letters = ('a'..='z').chain('A'..='Z');
    let all: Vec<String> = letters
        .flat_map(|c| [format!("{c}"), format!("d/{c}")])
        .collect();
    let bucket = Bucket::new(all.iter().step_by(3).cloned(), Lie::None);
    bucket.ask(&all);
}

proptest! {
    #[test]
    fn never_many_more_requests_than_the_better_of_both_ways(
        there in 0_u64..30_000,
        wanted in 0_u64..3000,
        first in 0_u64..40_000,
        spread in 1_u64..40,
    ) {
        let bucket = Bucket::new(names(0, there), Lie::None);
        let wanted: Vec<String> = (0..wanted).map(|n| name(first + n * spread)).collect();
        let (pages, singles) = bucket.ask(&wanted);
        let listing = usize::try_from(there).unwrap().div_ceil(PAGE).max(1);
        let better = listing.min(wanted.len());
        let most = better + better / 5 + FEW + 3 * SAMPLES;
        prop_assert!(pages + singles <= most, "{pages} + {singles}, better {better}");
    }
}
