//! A storm of kills: a program is started, killed at a random moment and started again until it is done, and
//! what it leaves is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::ops::AddAssign;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use kart::Workspace;

use crate::STARTS;

/// The status of a run that says: run it again.
const INTERRUPTED: i32 = 75;

/// What is to be there in the end: for each task its name, the path of its output, and the bytes.
pub type Expected = BTreeMap<String, (String, Vec<u8>)>;

/// What a storm came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often the program was started.
    pub runs: u64,
    /// How often it was killed.
    pub kills: u64,
    /// How often it ended by itself before all was done, as it may where the disk stands still for longer than its leases.
    pub interrupted: u64,
    /// How many tasks there were.
    pub tasks: u64,
    /// How many bodies were started.
    pub starts: u64,
    /// Outputs that were not there in the end, or not any more on the way.
    pub lost: u64,
    /// Outputs with other bytes than they should have.
    pub corrupt: u64,
    /// Tasks that were started although their output was there.
    pub repeated: u64,
    /// Temporary files that were left.
    pub litter: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.kills += other.kills;
        self.interrupted += other.interrupted;
        self.tasks += other.tasks;
        self.starts += other.starts;
        self.lost += other.lost;
        self.corrupt += other.corrupt;
        self.repeated += other.repeated;
        self.litter += other.litter;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs, {} kills, {} interrupted, {} tasks, {} starts, lost {}, corrupt {}, repeated {}, litter {}",
            self.runs,
            self.kills,
            self.interrupted,
            self.tasks,
            self.starts,
            self.lost,
            self.corrupt,
            self.repeated,
            self.litter
        )
    }
}

impl Tally {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        (self.lost, self.corrupt, self.repeated, self.litter) == (0, 0, 0, 0)
    }
}

/// One storm over one batch.
pub struct Storm<'a> {
    /// What the kills come from.
    pub seed: u64,
    /// The program with its arguments, but for the workspace.
    pub program: &'a dyn Fn() -> Command,
    /// Where the outputs go.
    pub workspace: &'a str,
    /// The name of its root.
    pub root: &'a str,
    /// What is to be there in the end.
    pub expected: &'a Expected,
    /// No run is left alone for longer, as long as it is to be killed.
    pub longest: Duration,
}

impl fmt::Debug for Storm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storm")
            .field("seed", &self.seed)
            .field("workspace", &self.workspace)
            .finish_non_exhaustive()
    }
}

impl Storm<'_> {
    /// Kills and starts until the batch is done.
    ///
    /// # Errors
    ///
    /// The program failed by itself, or what it left could not be looked at.
    pub fn run(&self) -> anyhow::Result<Tally> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let workspace = Workspace::open(self.workspace)?;
        let notes = tempfile::NamedTempFile::new()?;
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut tally = Tally {
            tasks: self.expected.len() as u64,
            ..Tally::default()
        };
        let mut complete = BTreeSet::new();
        loop {
            fs::write(notes.path(), "")?;
            let mut child = (self.program)()
                .args(["--workspace", self.workspace])
                .env(STARTS, notes.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .context("the program does not start")?;
            tally.runs += 1;
            let patience = self.longest.mul_f64(rng.f64());
            // Who survives twenty kills is let go.
            let status = if tally.kills < 20 {
                wait(&mut child, patience)?
            } else {
                None
            };
            let is_killed = status.is_none() && tally.kills < 20;
            if is_killed {
                child.kill()?;
                tally.kills += 1;
            }
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            let is_interrupted = !is_killed && output.status.code() == Some(INTERRUPTED);
            tally.interrupted += u64::from(is_interrupted);
            ensure!(
                is_killed || output.status.success() || (is_interrupted && tally.interrupted <= 3),
                "seed {}: {}: {said}",
                self.seed,
                output.status
            );
            let lines = fs::read_to_string(notes.path())?;
            let bodies = lines.lines().filter_map(|line| line.split(' ').next());
            let starts: Vec<&str> = bodies.chain(said.lines().filter_map(done_unit)).collect();
            tally.starts += starts.len() as u64;
            tally.repeated += repeated(&starts, &complete);
            let now = runtime.block_on(self.complete(&workspace))?;
            tally.lost += complete.difference(&now).count() as u64;
            complete = now;
            if !is_killed && !is_interrupted {
                break;
            }
        }
        self.run_once_more()?;
        runtime.block_on(self.look(&workspace, &complete, &mut tally))?;
        Ok(tally)
    }

    /// A run that finds all complete writes nothing, and so sweeps nothing: one that has something to do comes
    /// after it, as one always does. In a bucket it is those that share that sweep.
    fn run_once_more(&self) -> anyhow::Result<()> {
        let shared = self.workspace.contains("://").then_some("--shared");
        let output = (self.program)()
            .args(["--workspace", self.workspace, "--rerun", self.root])
            .args(shared)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "seed {}: {}: {said}",
            self.seed,
            output.status
        );
        Ok(())
    }

    /// The tasks whose outputs are there.
    async fn complete(&self, workspace: &Workspace) -> anyhow::Result<BTreeSet<String>> {
        let there: BTreeSet<String> = workspace.list("").await?.into_iter().collect();
        let is_there = |(path, _): &(String, Vec<u8>)| there.contains(path);
        let complete = self.expected.iter().filter(|(_, output)| is_there(output));
        Ok(complete.map(|(name, _)| name.clone()).collect())
    }

    async fn look(
        &self,
        workspace: &Workspace,
        complete: &BTreeSet<String>,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        for (name, (path, bytes)) in self.expected {
            match workspace.read(path).await? {
                Some(found) if complete.contains(name) => {
                    tally.corrupt += u64::from(found != bytes.as_slice());
                }
                _ => tally.lost += 1,
            }
        }
        // A listing leaves temporary files out.
        let temporaries = Path::new(self.workspace).join("_kart/tmp");
        tally.litter = fs::read_dir(temporaries).map_or(0, |entries| entries.count() as u64);
        for prefix in ["_kart/claims", "_kart/workers", "_kart/steps"] {
            tally.litter += workspace.list(prefix).await?.len() as u64;
        }
        Ok(())
    }
}

/// Which of the 27 units, or their gathering, a line on the standard error of `long_batch` says is done.
fn done_unit(line: &str) -> Option<&str> {
    let done = line.strip_prefix("done ")?.trim_start();
    if done.starts_with("Agg ") {
        return Some("all");
    }
    let (_, name) = done
        .strip_prefix("RunTaskWithWait ")?
        .split_once("output_name: \"")?;
    name.split('"').next()
}

/// How many of the tasks that were started had an output before.
#[must_use]
pub fn repeated(starts: &[&str], complete: &BTreeSet<String>) -> u64 {
    starts
        .iter()
        .filter(|task| complete.contains(**task))
        .count() as u64
}

/// Waits for the program, but not for longer.
fn wait(
    child: &mut std::process::Child,
    patience: Duration,
) -> anyhow::Result<Option<std::process::ExitStatus>> {
    let until = std::time::Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        std::thread::sleep(left.min(Duration::from_millis(2)));
    }
}

/// What the graph of a seed is to come to.
///
/// # Errors
///
/// Those of [`dag::expected`](crate::dag::expected).
pub fn expected_dag(seed: u64, nodes: u32) -> anyhow::Result<Expected> {
    let outputs = crate::dag::expected(seed, nodes)?;
    Ok(outputs
        .into_iter()
        .enumerate()
        .map(|(node, output)| (node.to_string(), output))
        .collect())
}

/// What the 27 units of the example `long_batch` are to come to.
#[must_use]
pub fn expected_long() -> Expected {
    let unit = |unit: u32| {
        let output = (
            format!("{unit}.txt"),
            format!("{unit} is done").into_bytes(),
        );
        (unit.to_string(), output)
    };
    let mut expected: Expected = (0..27).map(unit).collect();
    let all: Vec<String> = (0..27).map(|unit| format!("{unit} is done")).collect();
    let all = all.join("\n") + "\n";
    expected.insert(
        "all".to_owned(),
        ("all_results.txt".to_owned(), all.into_bytes()),
    );
    expected
}

/// The program of the example `long_batch`, built if need be.
///
/// # Errors
///
/// It cannot be built.
pub fn long_batch() -> anyhow::Result<std::path::PathBuf> {
    example("long_batch")
}

/// The program of an example, built if need be, with the features of the other programs (`tests/programs`).
///
/// # Errors
///
/// It cannot be built.
pub fn example(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let me = std::env::current_exe()?;
    let mut profile = me.parent().context("a program lies somewhere")?;
    if profile.ends_with("deps") {
        profile = profile.parent().context("a program lies somewhere")?;
    }
    let target = profile.parent().context("a program lies somewhere")?;
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--all-features",
            "--example",
            name,
            "--target-dir",
        ])
        .arg(target)
        .current_dir(root)
        .status()?;
    if !built.success() {
        bail!("the example {name} cannot be built");
    }
    Ok(profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}
