//! Where this process runs, and whether another on the same machine is still there.

use std::collections::HashSet;
use std::fs;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::lease_protocol::{ProcessId, ProcessIdentity};

/// This process.
pub(crate) fn this_process() -> &'static ProcessIdentity {
    static HERE: OnceLock<ProcessIdentity> = OnceLock::new();
    HERE.get_or_init(|| {
        let pid = std::process::id();
        ProcessIdentity {
            host: host(),
            boot: boot().unwrap_or_default(),
            pid,
            started: started(pid).unwrap_or_default(),
        }
    })
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".to_owned())
}

/// What tells this start of this machine, and this space of process ids, from others. Containers of one
/// machine may share its name, and each has a process 1.
fn boot() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), space.display()))
}

/// When a process started, in the kernel's ticks; see proc(5), field 22 of `stat`.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything, spaces and parentheses included.
    let (_, fields) = stat.rsplit_once(')')?;
    // A process that has ended and is not waited for yet is no more.
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

/// Whether a process is known to be gone, without waiting: only one of this machine can be.
pub(super) fn has_exited(id: ProcessId, origin: &ProcessIdentity) -> bool {
    let here = this_process();
    if here.boot.is_empty() || origin.boot != here.boot || origin.host != here.host {
        return false;
    }
    if origin.pid == here.pid && origin.started == here.started {
        return !live_participants().contains(&id);
    }
    started(origin.pid).is_none_or(|started| started != origin.started)
}

/// The lives that this process leads: one for each run that claims something.
pub(super) fn live_participants() -> MutexGuard<'static, HashSet<ProcessId>> {
    static LIVING: OnceLock<Mutex<HashSet<ProcessId>>> = OnceLock::new();
    let live_participants = LIVING.get_or_init(Mutex::default);
    live_participants
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::{has_exited, live_participants, started, this_process};
    use crate::lease_protocol::{ProcessId, ProcessIdentity};

    #[test]
    fn a_process_of_this_machine_is_gone_when_it_has_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let origin = ProcessIdentity {
            pid: child.id(),
            started: started(child.id()).unwrap(),
            ..this_process().clone()
        };
        assert!(!has_exited(ProcessId(1), &origin));
        let reused = ProcessIdentity {
            started: "1".to_owned(),
            ..origin.clone()
        };
        assert!(has_exited(ProcessId(1), &reused));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_exited(ProcessId(1), &origin));
        let elsewhere = ProcessIdentity {
            host: "elsewhere".to_owned(),
            ..origin
        };
        assert!(!has_exited(ProcessId(1), &elsewhere));
    }

    #[test]
    fn of_this_process_only_the_lives_that_it_leads_are_there() {
        assert!(has_exited(ProcessId(77), this_process()));
        live_participants().insert(ProcessId(77));
        assert!(!has_exited(ProcessId(77), this_process()));
        live_participants().remove(&ProcessId(77));
    }
}
