//! Every form in which a function may take what it requires, and what the runner gives by type.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use kart::{Artifact, Context, Dep, RunError, Runner, TaskExt, Workspace, task};
use tokio::io::AsyncReadExt as _;

use common::{Log, memory};

#[task]
async fn leaf(n: u32) -> kart::Result<u32> {
    Ok(n)
}

#[task]
async fn word(text: &str) -> kart::Result<String> {
    Ok(text.to_owned())
}

fn word_task(text: &str) -> Word {
    Word {
        text: text.to_owned(),
    }
}

#[task]
async fn table() -> kart::Result<Vec<u32>> {
    Ok(vec![1, 2, 3])
}

/// The output of `root`, handed over in memory, and then once more all read from the store.
async fn both_ways<T: kart::Task<Output: PartialEq + std::fmt::Debug>>(root: T) -> T::Output {
    let outputs = [usize::MAX / 2, 0].map(|budget| {
        let root = root.clone();
        async move {
            let workspace = memory();
            let runner = Runner::new(&workspace).memory_budget(budget);
            runner.run(root.clone()).await.unwrap();
            root.load(&workspace).await.unwrap()
        }
    });
    let [in_memory, from_store] = outputs;
    let in_memory = in_memory.await;
    assert_eq!(in_memory, from_store.await);
    in_memory
}

#[tokio::test]
async fn one_output_is_taken_by_value_by_reference_or_counted() {
    #[expect(clippy::too_many_arguments, reason = "all forms at once")]
    #[task]
    async fn takes(
        #[requires(Leaf { n: 1 })] copied: u32,
        #[requires(word_task("a"))] owned: String,
        #[requires(word_task("b"))] reference: &String,
        #[requires(word_task("c"))] text: &str,
        #[requires(Table)] slice: &[u32],
        #[requires(Table)] list: &Vec<u32>,
        #[requires(Table)] counted: Arc<Vec<u32>>,
        #[requires(word_task("d"))] borrowed_count: &Arc<String>,
    ) -> kart::Result<String> {
        let sum: u32 = slice.iter().chain(list).chain(counted.iter()).sum();
        Ok(format!(
            "{copied}{owned}{reference}{text}{sum}{borrowed_count}"
        ))
    }
    assert_eq!(both_ways(Takes).await, "1abc18d");
}

#[tokio::test]
async fn a_plain_function_takes_them_too() {
    #[task]
    fn takes(
        #[requires(word_task("a"))] mut owned: String,
        #[requires(word_task("b"))] text: &str,
        #[requires((0..3).map(|n| Leaf { n }))] all: &[u32],
    ) -> kart::Result<String> {
        owned.extend([text, &format!("{all:?}")]);
        Ok(owned)
    }
    assert_eq!(both_ways(Takes).await, "ab[0, 1, 2]");
}

#[tokio::test]
async fn many_outputs_are_taken_as_a_list_in_order() {
    #[task]
    async fn takes(
        n: u32,
        #[requires((0..n).map(|n| Leaf { n }))] mut owned: Vec<u32>,
        #[requires([3, 1, 2].map(|n| Leaf { n }))] slice: &[u32],
        #[requires(vec![Leaf { n: 9 }, Leaf { n: 9 }])] counted: Arc<Vec<u32>>,
        #[requires(Vec::<Leaf>::new())] none: Vec<u32>,
        #[requires((0..2).map(|n| Leaf { n }))] each_counted: Vec<Arc<u32>>,
    ) -> kart::Result<Vec<u32>> {
        owned.extend(slice);
        owned.extend(counted.iter());
        owned.extend(none);
        owned.extend(each_counted.iter().map(|n| **n));
        Ok(owned)
    }
    assert_eq!(both_ways(Takes { n: 2 }).await, [0, 1, 3, 1, 2, 9, 9, 0, 1]);
}

#[tokio::test]
async fn options_maps_and_tuples_have_the_shape_of_what_is_named() {
    #[task]
    async fn takes(
        with: bool,
        #[requires(with.then_some(Leaf { n: 1 }))] maybe: Option<u32>,
        #[requires((0..3).rev().map(|n| (format!("k{n}"), Leaf { n })))] map: BTreeMap<String, u32>,
        #[requires([((1, 'x'), Leaf { n: 7 })])] odd_keys: &BTreeMap<(u8, char), u32>,
        #[requires((Leaf { n: 1 }, word_task("a"), Table))] tuple: (u32, String, Vec<u32>),
        #[requires((Leaf { n: 5 },))] single: (u32,),
    ) -> kart::Result<String> {
        Ok(format!(
            "{maybe:?} {map:?} {odd_keys:?} {tuple:?} {single:?}"
        ))
    }
    let rest = r#"{"k0": 0, "k1": 1, "k2": 2} {(1, 'x'): 7} (1, "a", [1, 2, 3]) (5,)"#;
    assert_eq!(
        both_ways(Takes { with: false }).await,
        format!("None {rest}")
    );
    assert_eq!(
        both_ways(Takes { with: true }).await,
        format!("Some(1) {rest}")
    );
}

#[tokio::test]
async fn tuples_go_up_to_eight() {
    type Eight = (u32, u32, u32, u32, u32, u32, u32, u32);
    #[task]
    async fn takes(
        #[requires((Leaf { n: 0 }, Leaf { n: 1 }, Leaf { n: 2 }, Leaf { n: 3 }, Leaf { n: 4 }, Leaf { n: 5 }, Leaf { n: 6 }, Leaf { n: 7 }))]
        eight: &Eight,
    ) -> kart::Result<Eight> {
        Ok(*eight)
    }
    assert_eq!(both_ways(Takes).await, (0, 1, 2, 3, 4, 5, 6, 7));
}

#[tokio::test]
async fn shapes_nest() {
    type Rows = BTreeMap<String, (Vec<u32>, Option<u32>)>;
    #[task]
    async fn takes(
        #[requires((0..3).map(|row| (0..row).map(move |n| Leaf { n: 10 * row + n })))] ragged: Vec<
            Vec<u32>,
        >,
        #[requires((0..2_u32).map(|row| (row.to_string(), ((0..row).map(|n| Leaf { n }), (row > 0).then_some(Leaf { n: row })))))]
        rows: &Rows,
        #[requires(Some((Leaf { n: 1 }, vec![Table])))] deep: Option<(u32, Vec<Vec<u32>>)>,
    ) -> kart::Result<String> {
        Ok(format!("{ragged:?} {rows:?} {deep:?}"))
    }
    assert_eq!(
        both_ways(Takes).await,
        r#"[[], [10], [20, 21]] {"0": ([], None), "1": ([0], Some(1))} Some((1, [[1, 2, 3]]))"#
    );
}

#[task]
async fn chooses(
    #[requires] one: u32,
    #[requires] text: &str,
    #[requires] list: &[u32],
    #[requires] map: BTreeMap<String, u32>,
    #[requires] maybe: Option<u32>,
    #[requires] pair: (u32, String),
    #[requires] handle: Artifact<u32>,
) -> anyhow::Result<String> {
    let handle = handle.load().await?;
    Ok(format!(
        "{one} {text} {list:?} {map:?} {maybe:?} {pair:?} {handle}"
    ))
}

#[tokio::test]
async fn the_caller_may_choose_any_of_these() {
    let chooses = |list: Dep<Vec<u32>>| Chooses {
        one: Leaf { n: 1 }.into(),
        text: word_task("a").into(),
        list,
        map: kart::dep([("k".to_owned(), Leaf { n: 2 })]),
        maybe: kart::dep(None::<Leaf>),
        pair: kart::dep((Leaf { n: 3 }, word_task("b"))),
        handle: Leaf { n: 4 }.into(),
    };
    let expected = |list: &str| format!(r#"1 a {list} {{"k": 2}} None (3, "b") 4"#);
    let many = chooses(kart::dep((0..2).map(|n| Leaf { n })));
    assert_eq!(both_ways(many).await, expected("[0, 1]"));
    assert_eq!(
        both_ways(chooses(Table.into())).await,
        expected("[1, 2, 3]")
    );
    let nested = chooses(kart::dep([Dep::from(Leaf { n: 8 }), Leaf { n: 9 }.into()]));
    assert_eq!(both_ways(nested).await, expected("[8, 9]"));
}

#[tokio::test]
async fn an_expression_may_name_what_the_caller_chose() {
    fn mixed() -> (Dep<u32>, Vec<Dep<u32>>) {
        (Leaf { n: 1 }.into(), vec![Leaf { n: 2 }.into()])
    }
    #[task]
    async fn takes(
        #[requires(mixed())] all: (u32, Vec<u32>),
        #[requires(Dep::<String>::from(word_task("a")))] shared: &str,
    ) -> kart::Result<String> {
        Ok(format!("{all:?} {shared}"))
    }
    assert_eq!(both_ways(Takes).await, "(1, [2]) a");
}

#[tokio::test]
async fn an_artifact_is_a_handle_to_the_stored_object() {
    #[task]
    async fn inspects(
        #[requires(word_task("hello"))] one: Artifact<String>,
        #[requires((0..3).map(|n| Leaf { n }))] many: Vec<Artifact<u32>>,
        #[requires([("k".to_owned(), Leaf { n: 7 })])] map: &BTreeMap<String, Artifact<u32>>,
        #[requires(Some(Leaf { n: 8 }))] maybe: Option<Artifact<u32>>,
    ) -> anyhow::Result<String> {
        let mut read = String::new();
        one.reader().await?.read_to_string(&mut read).await?;
        anyhow::ensure!(one.bytes().await? == read.as_bytes());
        anyhow::ensure!(one.size().await? == read.len() as u64);
        anyhow::ensure!(one.clone().load().await? == "hello");
        let mut sum = map["k"].load().await?;
        for artifact in many.iter().chain(&maybe) {
            sum += artifact.load().await?;
        }
        Ok(format!("{read} {} {} {sum}", one.path(), one.location()))
    }
    let workspace: Workspace = memory();
    let text = kart::build(Inspects, &workspace).await.unwrap();
    let path = word_task("hello").path();
    let location = workspace.display_url(&path);
    assert_eq!(*text, format!("\"hello\" {path} {location} 18"));
}

#[tokio::test]
async fn a_handle_to_what_is_gone_says_so() {
    #[task(path = "gone.json")]
    async fn gone(#[resource] workspace: &Workspace) -> kart::Result<u32> {
        let _ = workspace;
        Ok(1)
    }
    #[task]
    async fn looks(
        #[requires(Gone)] gone: Artifact<u32>,
        #[resource] workspace: &Workspace,
    ) -> anyhow::Result<u32> {
        workspace.delete("gone.json").await?;
        Ok(gone.load().await?)
    }
    let workspace = memory();
    let runner = Runner::new(&workspace).resource(workspace.clone());
    let error = format!("{:#}", runner.run(Looks).await.unwrap_err());
    assert!(
        error.contains("gone.json") && error.contains("run it first"),
        "{error}"
    );
}

/// A connection that is neither stored nor copied.
struct Connection(&'static str);

#[task]
async fn asks(
    #[resource] connection: &Connection,
    #[resource] small: u8,
    #[resource] log: Log,
) -> kart::Result<String> {
    log.note("asked");
    Ok(format!("{} {small}", connection.0))
}

#[tokio::test]
async fn resources_are_given_by_type() {
    let log = Log::default();
    let workspace = memory();
    let runner = Runner::new(&workspace)
        .resource(Connection("db"))
        .resource(7_u8)
        .resource(log.clone());
    runner.run(Asks).await.unwrap();
    assert_eq!(Asks.load(&workspace).await.unwrap(), "db 7");
    assert_eq!(log.all(), ["asked"]);
    // Complete, it asks for nothing.
    Runner::new(&workspace).run(Asks).await.unwrap();
}

#[tokio::test]
async fn a_missing_resource_is_an_error_before_anything_runs() {
    #[task]
    async fn after(
        #[requires(Leaf { n: 1 })] n: u32,
        #[requires(Asks)] asks: &str,
    ) -> kart::Result<String> {
        Ok(format!("{n} {asks}"))
    }
    let workspace = memory();
    let runner = Runner::new(&workspace)
        .resource(7_u8)
        .resource(Log::default());
    let error = runner.run(After).await.unwrap_err();
    assert!(matches!(error, RunError::Resources(_)), "{error:?}");
    for text in [error.to_string(), format!("{error:#}")] {
        for part in [
            "Asks takes",
            "`connection: &",
            "Connection`",
            "`.resource(..)`",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        assert!(!text.contains("u8"), "{text}");
    }
    assert_eq!(workspace.list("").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_body_knows_its_own_attempt() {
    #[task(path = "who/{n}.json")]
    async fn knows(n: u32, #[context] cx: &Context) -> kart::Result<String> {
        Ok(format!(
            "{} {} {} {} {n}",
            cx.task(),
            cx.key(),
            cx.path(),
            cx.attempt()
        ))
    }
    let task = Knows { n: 5 };
    let expected = format!("Knows {} who/5.json 1 5", task.key());
    assert_eq!(both_ways(task).await, expected);
}

#[tokio::test]
async fn two_tasks_under_one_key_of_a_map_are_refused_and_none_is_lost() {
    #[task]
    async fn letter(n: u32) -> kart::Result<u32> {
        Ok(n)
    }
    #[task]
    async fn doubled(
        #[requires((0..2).map(|n| ("a", Letter { n })))] letters: BTreeMap<&'static str, u32>,
    ) -> kart::Result<usize> {
        Ok(letters.len())
    }
    #[task]
    async fn chosen(#[requires] letters: BTreeMap<String, u32>) -> kart::Result<usize> {
        Ok(letters.len())
    }
    let twice = (0..2).map(|n| ("a".to_owned(), Letter { n }));
    let letters = kart::dep(twice);
    let workspace = Workspace::open("memory://").unwrap();
    for error in [
        kart::build(Doubled, &workspace).await.unwrap_err(),
        kart::build(Chosen { letters }, &workspace)
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(error, RunError::Plan(_)), "{error}");
        assert!(error.to_string().contains("the one key `a`"), "{error}");
    }
}
