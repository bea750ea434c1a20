//! The command line of a pipeline, as a process of its own.

mod clearing;
#[cfg(feature = "restate")]
mod engines;
#[cfg(feature = "restate")]
mod ingress;
#[cfg(unix)]
mod outputs;
#[cfg(unix)]
mod states;
mod telling;
mod values;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A directory to call programs in; its workspace is the default one.
struct Place(TempDir);

/// What a program has said.
struct Said {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn has(&self, path: &str) -> bool {
        self.path().join("kart-workspace").join(path).exists()
    }

    fn call(&self, args: &[&str]) -> Said {
        self.call_with(env!("CARGO_BIN_EXE_pipeline"), args, &[])
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| !name.starts_with("KART_")));
        command
    }

    fn call_with(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> Said {
        let mut command = self.command(program, args);
        let Output {
            status,
            stdout,
            stderr,
        } = command.envs(env.iter().copied()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            status: status.code().unwrap(),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    /// The JSON that a call prints which does well.
    fn json(&self, args: &[&str]) -> Value {
        let said = self.call(&[args, &["--json", "--quiet"]].concat());
        assert_eq!(said.status, 0, "{args:?}: {}", said.stderr);
        serde_json::from_str(&said.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", said.stdout))
    }
}

fn names(tasks: &Value) -> Vec<&str> {
    let tasks = tasks.as_array().unwrap();
    tasks
        .iter()
        .map(|task| task["description"].as_str().unwrap())
        .collect()
}

/// The data of a report.
fn page_data(page: &str) -> Value {
    use base64::Engine as _;
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    let packed = base64::engine::general_purpose::STANDARD
        .decode(data.trim())
        .unwrap();
    let mut json = String::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_string(&mut json)
        .unwrap();
    serde_json::from_str(&json).unwrap()
}
