//! Where this process runs, and whether another process of this machine has exited.

use std::fs;
use std::sync::OnceLock;

use super::heartbeat;
use crate::lease_protocol::{ProcessId, ProcessIdentity};

/// Returns the identity of this process.
pub(crate) fn this_process() -> &'static ProcessIdentity {
    static THIS: OnceLock<ProcessIdentity> = OnceLock::new();
    THIS.get_or_init(|| {
        let pid = std::process::id();
        let started = match state(pid) {
            State::Running(started) => started,
            State::Exited | State::Unknown => String::new(),
        };
        ProcessIdentity {
            host: host(),
            boot: boot().unwrap_or_default(),
            pid,
            started,
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

/// Tells this boot of this machine, and this space of process ids, from others. Containers of one machine may
/// share its name, and each has a process 1.
fn boot() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), space.display()))
}

/// Returns the identity of the process that makes a run: this one, unless it is simulated.
pub(super) fn of_run(run: &str) -> ProcessIdentity {
    #[cfg(test)]
    if let Some(identity) = crate::simulation::identity(run) {
        return identity;
    }
    let _ = run;
    this_process().clone()
}

/// What `/proc` says of a process.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It runs, and started at that tick of the kernel.
    Running(String),
    /// It has exited, and its parent has not waited for it yet.
    Exited,
    /// `/proc` does not say: it may hide the processes of others.
    Unknown,
}

/// Reads the state and the start of a process; see proc(5), fields 3 and 22 of `stat`.
fn state(pid: u32) -> State {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return State::Unknown;
    };
    // The name in field 2 may contain anything, spaces and parentheses included.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return State::Unknown;
    };
    let mut fields = fields.split_whitespace();
    if matches!(fields.next(), Some("Z" | "X" | "x")) {
        return State::Exited;
    }
    let started = fields.nth(18).map(str::to_owned);
    started.map_or(State::Unknown, State::Running)
}

/// Asks the kernel whether there is no such process. A process that this one may not signal is there.
#[cfg(unix)]
fn is_absent(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| says_absent(test_kill_process(pid)))
}

#[cfg(unix)]
fn says_absent(answer: rustix::io::Result<()>) -> bool {
    answer == Err(rustix::io::Errno::SRCH)
}

#[cfg(not(unix))]
fn is_absent(_: u32) -> bool {
    false
}

/// What can be told of a process without the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// It is a live participant of this very process.
    ThisProcess,
    /// It runs on this machine.
    Running,
    /// It ran on this machine, and has exited.
    Exited,
    /// It is on another machine, or this machine does not say.
    Unknown,
}

/// Looks at a process from this one.
pub(super) fn look(this: &ProcessIdentity, id: ProcessId, identity: &ProcessIdentity) -> Local {
    if identity == this && heartbeat::is_live(id) {
        return Local::ThisProcess;
    }
    #[cfg(test)]
    if crate::simulation::has_exited(identity) {
        return Local::Exited;
    }
    if this.boot.is_empty() || identity.boot != this.boot || identity.host != this.host {
        return Local::Unknown;
    }
    if identity.pid == this.pid {
        return Local::Exited;
    }
    if is_absent(identity.pid) {
        return Local::Exited;
    }
    match state(identity.pid) {
        State::Exited => Local::Exited,
        // Another process has its pid now.
        State::Running(started) if !identity.started.is_empty() && started != identity.started => {
            Local::Exited
        }
        State::Running(_) | State::Unknown => Local::Running,
    }
}

/// Returns whether a process is known to have exited. Only one of this machine can be.
pub(super) fn has_exited(
    this: &ProcessIdentity,
    id: ProcessId,
    identity: &ProcessIdentity,
) -> bool {
    look(this, id, identity) == Local::Exited
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    fn id() -> ProcessId {
        ProcessId::random()
    }

    #[test]
    fn a_process_of_this_machine_has_exited_when_it_has_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let State::Running(started) = state(child.id()) else {
            panic!("/proc does not show the child");
        };
        let identity = ProcessIdentity {
            pid: child.id(),
            started,
            ..this_process().clone()
        };
        assert_eq!(look(this_process(), id(), &identity), Local::Running);
        let reused = ProcessIdentity {
            started: "1".to_owned(),
            ..identity.clone()
        };
        assert_eq!(look(this_process(), id(), &reused), Local::Exited);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(look(this_process(), id(), &identity), Local::Exited);
        let elsewhere = ProcessIdentity {
            host: "elsewhere".to_owned(),
            ..identity
        };
        assert_eq!(look(this_process(), id(), &elsewhere), Local::Unknown);
    }

    #[test]
    fn a_process_whose_start_is_unknown_is_alive_as_long_as_its_pid_is() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = ProcessIdentity {
            pid: child.id(),
            started: String::new(),
            ..this_process().clone()
        };
        assert_eq!(look(this_process(), id(), &identity), Local::Running);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(look(this_process(), id(), &identity), Local::Exited);
    }

    #[test]
    fn a_process_that_may_not_be_signalled_is_there() {
        use rustix::io::Errno;
        assert!(!is_absent(1));
        assert!(!says_absent(Err(Errno::PERM)) && !says_absent(Ok(())));
        assert!(says_absent(Err(Errno::SRCH)));
    }

    #[test]
    fn a_child_that_nobody_waited_for_has_exited() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        while state(pid) != State::Exited {
            std::thread::yield_now();
        }
        assert!(!is_absent(pid));
        let identity = ProcessIdentity {
            pid,
            ..this_process().clone()
        };
        assert_eq!(look(this_process(), id(), &identity), Local::Exited);
        child.wait().unwrap();
    }

    #[test]
    fn of_this_process_only_live_participants_are_alive() {
        assert_eq!(look(this_process(), id(), this_process()), Local::Exited);
    }
}
