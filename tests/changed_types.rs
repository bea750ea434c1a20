//! Outputs of kart's own with fields that their type no longer has.
#![cfg(all(feature = "parquet", feature = "zstd"))]

#[path = "common/capture.rs"]
mod capture;
mod common;

use bytes::Bytes;
use capture::Capture;
use common::{Log, memory};
use kart::format::{
    ArrowIpc, Csv, Format, Json, JsonLines, MessagePack, Parquet, UnknownFields, Zstd,
};
use kart::{
    Artifact, Context, Error, OnTypeChange, Report, RunError, Runner, TaskExt as _, Workspace, task,
};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

/// A struct whose field was once named `limit` and now is `limits`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Conf {
    name: String,
    #[serde(default)]
    limits: u32,
    #[serde(skip)]
    is_old: bool,
}

impl Serialize for Conf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Conf", 2)?;
        fields.serialize_field("name", &self.name)?;
        let limits = if self.is_old { "limit" } else { "limits" };
        fields.serialize_field(limits, &self.limits)?;
        fields.end()
    }
}

/// Whether the program still writes the old name.
#[derive(Clone, Copy, Debug)]
struct IsOld(bool);

fn conf(is_old: IsOld) -> Conf {
    Conf {
        name: "a".to_owned(),
        limits: 3,
        is_old: is_old.0,
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Outer {
    confs: Vec<Option<Conf>>,
}

macro_rules! tasks {
    ($($name:ident: $format:ty, $path:literal, $output:ty, $make:expr;)+) => {
        $(#[task(path = $path, format = $format)]
        async fn $name(#[resource] is_old: &IsOld, #[resource] log: &Log) -> kart::Result<$output> {
            log.note(stringify!($name));
            Ok($make(conf(*is_old)))
        })+
    };
}

tasks! {
    whole: Json, "{key}.json", Conf, |conf| conf;
    plain: Json, "plain.json", Conf, |conf| conf;
    nested: Json, "{key}.nested.json", Outer, |conf| Outer { confs: vec![None, Some(conf)] };
    lines: JsonLines, "{key}.jsonl", Vec<Conf>, |conf| vec![conf];
    packed: MessagePack, "{key}.msgpack", Conf, |conf| conf;
    table: Csv, "{key}.csv", Vec<Conf>, |conf| vec![conf];
    squeezed: Zstd<Json>, "{key}.json.zst", Conf, |conf| conf;
}

#[task]
async fn reads_whole(#[requires(Whole)] conf: Conf) -> kart::Result<u32> {
    Ok(conf.limits)
}

#[task]
async fn reads_plain(#[requires(Plain)] conf: &Conf) -> kart::Result<u32> {
    Ok(conf.limits)
}

#[task]
async fn reads_artifact(#[requires(Whole)] conf: Artifact<Conf>) -> kart::Result<u32> {
    Ok(conf.load().await?.limits)
}

#[task]
async fn asks(#[context] cx: &Context) -> kart::Result<u32> {
    Ok(cx.get(Whole).await?.limits)
}

#[task]
async fn reads_two(
    #[requires(Whole)] whole: Conf,
    #[requires(Plain)] plain: Conf,
    #[requires(Whole)] again: Artifact<Conf>,
) -> kart::Result<u32> {
    Ok(whole.limits + plain.limits + again.load().await?.limits)
}

/// A workspace with outputs of the old type.
async fn old() -> Workspace {
    let workspace = memory();
    let runner = runner(&workspace, true, &Log::default());
    runner.run(Whole).await.unwrap();
    runner.run(Plain).await.unwrap();
    runner.run(Nested).await.unwrap();
    runner.run(Lines).await.unwrap();
    runner.run(Packed).await.unwrap();
    runner.run(Table).await.unwrap();
    runner.run(Squeezed).await.unwrap();
    workspace
}

fn runner(workspace: &Workspace, is_old: bool, log: &Log) -> Runner {
    Runner::new(workspace)
        .run_log(false)
        .memory_budget(0)
        .resource(IsOld(is_old))
        .resource(log.clone())
}

async fn failed(run: impl Future<Output = Result<Report, RunError>>) -> String {
    format!("{:#}", run.await.unwrap_err())
}

fn field<T: std::fmt::Debug>(loaded: Result<T, Error>) -> String {
    match loaded.unwrap_err() {
        Error::TypeChanged { field, .. } => field,
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn an_output_with_a_field_that_its_type_lacks_is_refused_in_every_format_with_names() {
    let workspace = old().await;
    assert_eq!(field(Whole.load(&workspace).await), "limit");
    assert_eq!(field(Plain.load(&workspace).await), "limit");
    assert_eq!(field(Nested.load(&workspace).await), "confs.limit");
    assert_eq!(field(Lines.load(&workspace).await), "limit");
    assert_eq!(field(Packed.load(&workspace).await), "limit");
    assert_eq!(field(Table.load(&workspace).await), "limit");
    assert_eq!(field(Squeezed.load(&workspace).await), "limit");
}

#[tokio::test]
async fn the_error_of_a_run_names_task_object_field_and_the_ways_out() {
    let workspace = old().await;
    let runner = runner(&workspace, false, &Log::default());
    for story in [
        failed(runner.run(ReadsWhole)).await,
        failed(runner.run(ReadsArtifact)).await,
        failed(runner.run(Asks)).await,
    ] {
        let parts = [
            "the output of Whole",
            "memory://",
            "the field `limit`",
            "hint: ",
            "#[serde(alias",
            "`version`",
            "--on-type-change rerun",
            "--on-type-change warn",
        ];
        for part in parts {
            assert!(story.contains(part), "{part}: {story}");
        }
    }
}

#[tokio::test]
async fn a_warning_takes_the_output_and_is_given_once_for_each_kind_of_task() {
    let workspace = old().await;
    let runner = runner(&workspace, false, &Log::default()).on_type_change(OnTypeChange::Warn);
    let capture = Capture::default();
    let subscribed = capture.subscribe();
    let report = runner.run(ReadsTwo).await.unwrap();
    drop(subscribed);
    assert_eq!(report.output(&ReadsTwo).await.unwrap(), 0);
    let told = capture.text();
    let warnings: Vec<&str> = told.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 2, "{told}");
    assert!(warnings.iter().all(|line| line.contains("limit")), "{told}");
}

#[tokio::test]
async fn a_rerun_makes_the_output_again_however_it_is_read() {
    let workspace = old().await;
    let log = Log::default();
    let runner = runner(&workspace, false, &log).on_type_change(OnTypeChange::Rerun);
    let report = runner.run(ReadsWhole).await.unwrap();
    assert_eq!(report.output(&ReadsWhole).await.unwrap(), 3);
    let report = runner.run(ReadsPlain).await.unwrap();
    assert_eq!(report.output(&ReadsPlain).await.unwrap(), 3);
    assert_eq!(log.take(), ["whole", "plain"]);

    let other = old().await;
    let runner = self::runner(&other, false, &log).on_type_change(OnTypeChange::Rerun);
    let report = runner.run(Asks).await.unwrap();
    assert_eq!(report.output(&Asks).await.unwrap(), 3);
    assert_eq!(log.take(), ["whole"]);

    let third = old().await;
    let runner = self::runner(&third, false, &log).on_type_change(OnTypeChange::Rerun);
    let report = runner.run(ReadsArtifact).await.unwrap();
    assert_eq!(report.output(&ReadsArtifact).await.unwrap(), 3);
    assert_eq!(log.take(), ["whole"]);
}

#[tokio::test]
async fn a_rerun_makes_the_output_again_in_shared_runs_too() {
    let workspace = old().await;
    let log = Log::default();
    let runner = runner(&workspace, false, &log)
        .coordination(kart::Coordination::Shared)
        .on_type_change(OnTypeChange::Rerun);
    let report = runner.run(ReadsTwo).await.unwrap();
    assert_eq!(report.output(&ReadsTwo).await.unwrap(), 9);
    assert_eq!(log.take_sorted(), ["plain", "whole"]);
}

#[task(path = "given.json", external)]
async fn given() -> kart::Result<Conf>;

#[task]
async fn reads_given(#[requires(Given)] conf: Conf) -> kart::Result<u32> {
    Ok(conf.limits)
}

#[tokio::test]
async fn inputs_from_outside_may_have_more_fields() {
    let workspace = memory();
    let text = Bytes::from(r#"{"name": "a", "limits": 4, "more": 1}"#);
    workspace.replace("given.json", text.clone()).await.unwrap();
    workspace.replace("plain.json", text).await.unwrap();
    let runner = runner(&workspace, false, &Log::default());
    let report = runner.run(ReadsGiven).await.unwrap();
    assert_eq!(report.output(&ReadsGiven).await.unwrap(), 4);
    assert_eq!(Plain.load(&workspace).await.unwrap().limits, 4);
}

/// A field for other programs, and one with a new name.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Derived {
    #[serde(alias = "limit")]
    limits: u32,
    #[serde(skip_deserializing)]
    double: u32,
}

#[task(path = "{key}.json")]
async fn derived_list() -> kart::Result<Vec<Derived>> {
    Ok(vec![
        Derived {
            limits: 1,
            double: 2
        };
        2
    ])
}

#[task(path = "{key}.csv")]
async fn derived_table() -> kart::Result<Vec<Derived>> {
    Ok(vec![Derived {
        limits: 1,
        double: 2,
    }])
}

#[tokio::test]
async fn a_field_that_the_type_writes_and_never_reads_is_no_change() {
    let workspace = memory();
    let runner = Runner::new(&workspace);
    runner.run(DerivedList).await.unwrap();
    runner.run(DerivedTable).await.unwrap();
    assert_eq!(DerivedList.load(&workspace).await.unwrap()[1].limits, 1);
    assert_eq!(DerivedTable.load(&workspace).await.unwrap()[0].limits, 1);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OldRow {
    limit: u32,
    place: OldPlace,
    gone: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OldPlace {
    street: String,
    zip: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NewRow {
    #[serde(alias = "limit")]
    limits: u32,
    place: NewPlace,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NewPlace {
    street: String,
}

fn unknown<F: Format<Vec<OldRow>> + Format<Vec<NewRow>>>() -> Vec<String> {
    let place = OldPlace {
        street: "b".to_owned(),
        zip: 1,
    };
    let row = OldRow {
        limit: 1,
        place,
        gone: None,
    };
    let bytes = F::encode(&vec![row; 2]).unwrap();
    let mut unknown = UnknownFields::default();
    let rows: Vec<NewRow> = F::decode_reporting(bytes, &mut unknown).unwrap();
    assert_eq!(rows[1].limits, 1);
    unknown.iter().map(str::to_owned).collect()
}

#[test]
fn columns_that_no_row_reads_are_reported_at_any_depth() {
    assert_eq!(unknown::<ArrowIpc>(), ["gone", "place.zip"]);
    assert_eq!(unknown::<Parquet>(), ["gone", "place.zip"]);
    assert_eq!(unknown::<Zstd<Parquet>>(), ["gone", "place.zip"]);
    assert_eq!(unknown::<JsonLines>(), ["gone", "place.zip"]);
    assert_eq!(unknown::<MessagePack>(), ["gone", "place.zip"]);
}
