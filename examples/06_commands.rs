//! Bodies that are other programs. They end with their attempt: SIGTERM when the run stops or the attempt times out,
//! SIGKILL after the grace, with everything that they have started.
//!
//! Start it, stop it with Ctrl-C, look for `sleep` with `ps`, and start it again.

use std::process::Stdio;

use kart::{Context, File, task};

/// Counts in a shell, slowly. Its lines go to the task's log as they come; its output is a file.
#[task(path = "counted/{name}.txt", timeout = "1m")]
async fn count(name: &str, #[context] cx: &Context) -> anyhow::Result<File> {
    let file = cx.new_file()?;
    let script = r#"for n in 1 2 3 4 5; do echo "$NAME: $n" >&2; echo "$n"; sleep 0.2; done"#;
    cx.command("sh")
        .args(["-c", script])
        .env("NAME", name)
        .stdout(Stdio::from(std::fs::File::create(file.path())?))
        .run()
        .await?;
    Ok(file)
}

/// Sorts what was counted. A plain `fn` waits by `block_on`.
#[task(path = "sorted.txt")]
fn sort(
    names: &[String],
    #[requires(names.iter().map(|name| Count { name: name.clone() }))] counted: &[File],
    #[context] cx: &Context,
) -> anyhow::Result<String> {
    anyhow::ensure!(counted.len() == names.len());
    let files = counted.iter().map(File::path);
    let sorted = cx.block_on(cx.command("sort").arg("-n").args(files).output())?;
    Ok(String::from_utf8(sorted)?)
}

/// Both.
#[task(path = "commands.txt")]
async fn commands(
    #[param(default = 3)] programs: u32,
    #[requires(Sort { names: (0..programs).map(|n| format!("program-{n}")).collect() })]
    sorted: &str,
) -> anyhow::Result<String> {
    let lines = sorted.lines().count();
    Ok(format!("{lines} lines of {programs} programs\n"))
}

kart::main!(Commands);
