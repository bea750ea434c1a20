//! Cycles of waits through several processes: what one holds waits for what another holds, and so on, back to the first.

use std::collections::{HashMap, HashSet, VecDeque};

use super::record::{ProcessId, WaitRecord};

/// A cycle: each wait with the process that waits, until the last one waits for what the first one holds.
pub(crate) type WaitCycle = Vec<(ProcessId, WaitRecord)>;

/// Returns a shortest cycle that begins with a wait of this process.
pub(crate) fn wait_cycle(
    process: ProcessId,
    wait: &WaitRecord,
    waits: &HashMap<ProcessId, Vec<WaitRecord>>,
) -> Option<WaitCycle> {
    let mut open = VecDeque::from([vec![(process, wait.clone())]]);
    let mut seen = HashSet::new();
    while let Some(way) = open.pop_front() {
        let (_, last) = way.last()?;
        let at = (last.from, last.wanted);
        if at == (process, wait.held) {
            return Some(way);
        }
        if !seen.insert(at) {
            continue;
        }
        let next = waits.get(&at.0).into_iter().flatten();
        for next in next.filter(|next| next.held == at.1) {
            let mut longer = way.clone();
            longer.push((at.0, next.clone()));
            open.push_back(longer);
        }
    }
    None
}

/// Returns whether the first wait is the one that ends so that the others can go on: all processes choose the same.
pub(crate) fn gives_way(cycle: &[(ProcessId, WaitRecord)]) -> bool {
    let least = cycle.iter().map(|(_, wait)| wait.held).min();
    cycle.first().map(|(_, wait)| wait.held) == least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn key(name: &str) -> Key {
        Key::of(name.as_bytes())
    }

    fn wait(held: &str, wanted: &str, from: u128) -> WaitRecord {
        WaitRecord {
            held: key(held),
            what: held.to_owned(),
            wanted: key(wanted),
            from: ProcessId(from),
        }
    }

    fn found(waits: &[(u128, WaitRecord)], at: usize) -> Option<Vec<String>> {
        let mut all: HashMap<ProcessId, Vec<WaitRecord>> = HashMap::new();
        for (process, wait) in waits {
            all.entry(ProcessId(*process))
                .or_default()
                .push(wait.clone());
        }
        let cycle = wait_cycle(ProcessId(waits[at].0), &waits[at].1, &all)?;
        Some(cycle.into_iter().map(|(_, wait)| wait.what).collect())
    }

    #[test]
    fn a_cycle_is_found_through_any_number_of_processes() {
        let two = [(1, wait("a", "b", 2)), (2, wait("b", "a", 1))];
        assert_eq!(found(&two, 0).unwrap(), ["a", "b"]);
        assert_eq!(found(&two, 1).unwrap(), ["b", "a"]);
        let three = [
            (1, wait("a", "b", 2)),
            (2, wait("b", "x", 3)),
            (2, wait("b", "c", 3)),
            (3, wait("c", "a", 1)),
        ];
        assert_eq!(found(&three, 0).unwrap(), ["a", "b", "c"]);
        assert_eq!(found(&three, 1), None);
    }

    #[test]
    fn waits_that_end_somewhere_are_no_cycle() {
        // Another process holds `a` by now, and the third waits for nothing.
        assert_eq!(
            found(&[(1, wait("a", "b", 2)), (2, wait("b", "a", 3))], 0),
            None
        );
        assert_eq!(
            found(&[(1, wait("a", "b", 2)), (2, wait("c", "a", 1))], 0),
            None
        );
    }

    #[test]
    fn one_wait_of_a_cycle_gives_way() {
        let cycle = vec![
            (ProcessId(1), wait("a", "b", 2)),
            (ProcessId(2), wait("b", "a", 1)),
        ];
        let mut rotated = cycle.clone();
        rotated.rotate_left(1);
        assert_ne!(gives_way(&cycle), gives_way(&rotated));
    }
}
