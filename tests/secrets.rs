//! Secret parameters are shown nowhere: not in errors, spans, messages, panics or what commands write.

#[path = "common/capture.rs"]
mod capture;
#[path = "common/mod.rs"]
mod common;

use std::sync::{Arc, Mutex};

use capture::Capture;
use common::memory;
use kart::{AnyTask, Context, Dep, Event, Report, RunError, Runner, Workspace, task};
use serde::{Deserialize, Serialize};

const TOKEN: &str = "tok\"en/7 ü";

/// What a run showed: its error, what its log keeps, its events, its spans.
async fn shown(task: impl kart::Task) -> Vec<(&'static str, String)> {
    let (workspace, capture) = (memory(), Capture::default());
    let _subscribed = capture.subscribe();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let runner = Runner::new(&workspace).on_event(move |event: &Event<'_>| {
        seen.lock().unwrap().push(match event {
            Event::Progress { message, .. } => format!("{message:?}"),
            Event::Failed { error, .. } => format!("{error:?} {}", kart::chain(*error)),
            _ => String::new(),
        });
    });
    let ended: Result<Report, RunError> = runner.run(task).await;
    let error = ended.map_or_else(|error| format!("{error:#}\n{error:?}"), |_| String::new());
    let events = events.lock().unwrap().join("\n");
    vec![
        ("error", error),
        ("log", log_of(&workspace).await),
        ("events", events),
        ("spans", capture.text()),
    ]
}

/// All records of the runs of a workspace.
async fn log_of(workspace: &Workspace) -> String {
    let mut log = String::new();
    for path in workspace.list("_kart/runs").await.unwrap() {
        let bytes = workspace.read(&path).await.unwrap().unwrap();
        log.push_str(&String::from_utf8_lossy(&bytes));
    }
    log
}

/// Asserts that the text is shown somewhere, and none of the secrets anywhere.
async fn assert_hidden(task: impl kart::Task, mark: &str, secrets: &[&str]) {
    let shown = shown(task).await;
    assert!(
        shown.iter().any(|(_, text)| text.contains(mark)),
        "{mark}: {shown:?}"
    );
    for (place, text) in &shown {
        for secret in secrets {
            assert!(!text.contains(secret), "the {place} shows {secret}: {text}");
        }
    }
}

#[task(name = "says")]
async fn says(#[param(secret)] token: &str, how: &str) -> anyhow::Result<u32> {
    let encoded = token
        .replace('"', "%22")
        .replace('/', "%2F")
        .replace(' ', "%20");
    match how {
        "plain" => anyhow::bail!("marked {token}"),
        "debug" => anyhow::bail!("marked {token:?}"),
        "debug of debug" => anyhow::bail!("marked {:?}", format!("{token:?}")),
        "json" => anyhow::bail!("marked {}", serde_json::json!({ "token": token })),
        "url" => anyhow::bail!("marked https://x/?t={}", encoded.replace('ü', "%C3%BC")),
        "panic" => panic!("marked {token}"),
        "cause" => Err(anyhow::anyhow!("with {token:?}").context("marked")),
        "permanent" => Err(kart::permanent(format!("marked {token}")).into()),
        _ => Ok(1),
    }
}

#[tokio::test]
async fn an_error_and_its_span_show_a_secret_in_no_form() {
    for how in [
        "plain",
        "debug",
        "debug of debug",
        "json",
        "url",
        "panic",
        "cause",
        "permanent",
    ] {
        let task = Says {
            token: TOKEN.to_owned(),
            how: how.to_owned(),
        };
        assert_hidden(task, "marked", &["tok\"en", "en/7", "en%2F7", "tok\\"]).await;
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Login {
    user: String,
    pin: u32,
    keys: Vec<(String, Option<i128>)>,
}

#[task]
async fn logs_in(#[param(secret)] login: Login) -> anyhow::Result<u32> {
    anyhow::bail!("marked {} or {} or {:?}", login.user, login.pin, login.keys)
}

#[tokio::test]
async fn each_part_of_a_secret_struct_is_hidden() {
    let login = Login {
        user: "melissa".to_owned(),
        pin: 90125,
        keys: vec![("rosebud".to_owned(), Some(i128::MAX))],
    };
    let number = i128::MAX.to_string();
    assert_hidden(
        LogsIn { login },
        "marked",
        &["melissa", "90125", "rosebud", &number],
    )
    .await;
}

/// `u128` above what JSON numbers hold: the parameters together have no JSON.
#[task]
async fn large(serial: u128, #[param(secret)] token: &str) -> anyhow::Result<u32> {
    anyhow::bail!("marked {serial} {token}")
}

#[tokio::test]
async fn a_secret_is_hidden_where_another_parameter_has_no_json() {
    let task = Large {
        serial: u128::MAX,
        token: "rosebud".to_owned(),
    };
    assert_hidden(task, "marked", &["rosebud"]).await;
}

/// Refuses to be serialized after the key was found.
#[derive(Clone, Debug, Deserialize)]
struct Shy(String);

impl Serialize for Shy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = std::any::type_name::<S>();
        if name.contains("Collector") {
            return Err(serde::ser::Error::custom("not to this one"));
        }
        serializer.serialize_str(&self.0)
    }
}

#[task]
async fn shies(#[param(secret)] token: Shy) -> anyhow::Result<u32> {
    anyhow::bail!("marked {}", token.0)
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_hides_the_whole_text() {
    let token = Shy("rosebud".to_owned());
    assert_hidden(Shies { token }, "***", &["rosebud", "marked"]).await;
}

#[task]
async fn reports(#[param(secret)] token: &str, #[context] cx: &Context) -> kart::Result<u32> {
    cx.message(format!("marked {token} {token:?}"));
    Ok(1)
}

#[tokio::test]
async fn a_message_hides_a_secret() {
    let token = TOKEN.to_owned();
    assert_hidden(Reports { token }, "marked", &["tok\"en", "en/7"]).await;
}

#[task]
async fn source(#[param(secret)] token: &str, serial: u128) -> kart::Result<u32> {
    Ok(u32::try_from(token.len()).unwrap_or_default() + u32::from(serial == 0))
}

/// Knows the secret of a task that it was given by other ways, and shows it.
#[task]
async fn indirect(#[requires] value: u32) -> anyhow::Result<u32> {
    anyhow::bail!("marked {value} rosebud")
}

#[tokio::test]
async fn a_secret_of_a_task_that_is_a_parameter_is_hidden() {
    let source = Source {
        token: "rosebud".to_owned(),
        serial: u128::MAX,
    };
    let value: Dep<u32> = source.into();
    assert_hidden(Indirect { value }, "marked", &["rosebud"]).await;
}

#[test]
fn a_number_of_few_digits_is_hidden_where_it_stands_alone() {
    #[task]
    async fn short(#[param(secret)] pin: u8, #[param(secret)] lines: &str) -> kart::Result<u32> {
        Ok(u32::from(pin) + u32::try_from(lines.len()).unwrap_or_default())
    }
    let task = AnyTask::from(Short {
        pin: 42,
        lines: "first line\nsecond line".to_owned(),
    });
    let text = task.redacted("pin=42, line 142, 42: the second line of 4.2");
    assert_eq!(text, "pin=***, line 142, ***: the *** of 4.2");
}
