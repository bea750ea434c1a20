//! Source in, tokens or messages out. What the compiler makes of the expansion is tested in the facade's `tests/`.

use super::{task, try_task};

fn expand(attr: &str, item: &str) -> (String, Vec<String>) {
    let (tokens, diag) = try_task(
        attr.parse().expect("tokens of the attribute"),
        item.parse().expect("tokens of the item"),
    );
    (tokens.to_string(), diag.messages())
}

/// The messages for one item, whose expansion must still be Rust.
#[track_caller]
fn messages(attr: &str, item: &str) -> Vec<String> {
    let (tokens, messages) = expand(attr, item);
    if let Err(error) = syn::parse_str::<syn::File>(&tokens) {
        panic!("the expansion of `{item}` is no Rust: {error}\n{tokens}");
    }
    messages
}

/// Each item has exactly one error, which holds the text.
#[track_caller]
fn check(cases: &[(&str, &str, &str)]) {
    for (attr, item, expected) in cases {
        let messages = messages(attr, item);
        assert!(
            matches!(messages.as_slice(), [only] if only.contains(expected)),
            "`#[task({attr})] {item}`: expected {expected:?}, got {messages:#?}"
        );
    }
}

#[test]
fn show() {
    if std::env::var_os("KART_SHOW").is_none() {
        return;
    }
    let (t, m) = expand(
        "path = \"all_results.txt\"",
        "
    /// Gathers what the 27 units said.
    async fn agg(
    #[param(default = 100)] wait_ms: u64,
    #[requires((0..27).map(|i| RunTaskWithWait { wait_ms, output_name: i.to_string() }))]
    results: Vec<String>,
) -> anyhow::Result<String> {
    Ok(format!(\"{results:?}\"))
}",
    );
    println!(
        "{}",
        prettyplease::unparse(&syn::parse_str(&t).expect("rust"))
    );
    println!("{m:#?}");
    let t = task(
        "path = \"all_{x}\", zoo".parse().expect(""),
        "pub async fn agg(#[resource] pool: &Pool, (a,b): (u8,u8)) -> Result<u8, E> { 1 }"
            .parse()
            .expect(""),
    );
    println!("{}", prettyplease::unparse(&syn::parse2(t).expect("rust")));
}
