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
fn a_task_without_errors_has_none() {
    for (attr, item) in [
        ("", "fn f() -> R { Ok(1) }"),
        (
            "path = \"x/{day}/{key}.csv\", version = 2, retries = 3, backoff = \"2s\", timeout = \"1h 30m\", priority = -4, uses(gpu = 1, db = 2), name = \"a/b/C\", struct = Other, crate = ::other",
            "pub(crate) async fn f(mut day: u32, #[resource] db: &Pool, #[context] cx: Context) -> R { Ok(1) }",
        ),
        (
            "path = \"{key}.parquet\", format = my::Parquet<u8, 3>",
            "async fn f(#[requires] a: &[T], #[requires(A { b })] c: Artifact<X>, b: &str, p: &Path) -> R {}",
        ),
        (
            "external, path = \"raw/{day}.csv\"",
            "async fn raw(day: Date) -> kart::Result<Vec<Row>>;",
        ),
        (
            "crate = crate::inner",
            "fn r#type(r#in: u8) -> R { Ok(r#in) }",
        ),
        (
            "path = \"{name}-{ext}.txt\"",
            "fn f(name: &str, ext: u8) -> R { #![allow(unused)] //! inner\n Ok(1) }",
        ),
        ("", "async fn unfinished(x: u8) -> R { let y = ; x. }"),
        (
            "",
            "async fn f(#[resource] g: fn(&str) -> u8, #[resource] h: Arc<dyn Fn(&u8)>) -> R {}",
        ),
    ] {
        let (tokens, messages) = expand(attr, item);
        assert!(messages.is_empty(), "`{item}`: {messages:#?}");
        assert!(!tokens.contains("compile_error"), "{tokens}");
    }
}

#[test]
fn options() {
    const F: &str = "fn f() -> R {}";
    check(&[
        ("retires = 3", F, "did you mean `retries`?"),
        ("zebra", F, "unknown option `zebra` (there are `version`"),
        ("retries = 1, retries = 2", F, "`retries` is given twice"),
        ("retries = \"3\"", F, "expected one like `retries = 3`"),
        ("retries = -1", F, "a whole number from 0 to 4294967295"),
        ("retries = 1u8", F, "a whole number"),
        ("retries", F, "`retries` takes a value"),
        ("retries =", F, "the value of `retries` is missing"),
        (
            "retries = 1 2",
            F,
            "expected `,` after the option `retries`",
        ),
        ("version = 0", F, "a whole number from 1"),
        ("version = 4294967296", F, "a whole number from 1"),
        (
            "priority = 3000000000",
            F,
            "a whole number from -2147483648",
        ),
        ("backoff = \"2 parsecs\"", F, "not a duration"),
        ("backoff = 2", F, "expected one like `backoff = \"2s\"`"),
        ("timeout = \"0s\"", F, "longer than zero"),
        ("uses", F, "uses(gpu = 1)"),
        ("uses()", F, "names no limit"),
        ("uses(gpu)", F, "`gpu` takes a value: `gpu = 1`"),
        ("uses(gpu = 0)", F, "a whole number from 1"),
        (
            "uses(gpu = 1, gpu = 1)",
            F,
            "the limit `gpu` is named twice",
        ),
        ("external = true", F, "stands alone"),
        (
            "struct = \"X\"",
            F,
            "expected one like `struct = CleanTable`",
        ),
        ("struct = clean_table", F, "`struct = CleanTable`"),
        ("struct = Option", F, "`struct = OptionTask`"),
        ("crate = kart", F, "`::kart` or `crate::kart`"),
        ("name = \"a//b\"", F, "a task's name is words"),
        ("name = \"a b\"", F, "a task's name is words"),
        ("name = \"a/../b\"", F, "a task's name is words"),
        ("name = \"_kart/b\"", F, "kept for kart"),
        ("5", F, "expected an option"),
    ]);
}

#[test]
fn signatures() {
    check(&[
        ("", "fn f<T>() -> R {}", "cannot be generic"),
        ("", "fn f<'a>() -> R {}", "cannot be generic"),
        ("", "fn f() -> R where u8: Copy {}", "`where`"),
        ("", "fn f(&self) -> R {}", "free function"),
        ("", "fn f(x: Self) -> R {}", "no `Self`"),
        ("", "fn f() -> Result<Self, E> {}", "no `Self`"),
        ("", "unsafe fn f() -> R {}", "unsafe"),
        ("", "const fn f() -> R {}", "const"),
        ("", "extern \"C\" fn f() -> R {}", "extern"),
        ("", "async fn main() -> R {}", "`main` cannot be a task"),
        ("", "fn f() {}", "a task returns `Result<T, E>`"),
        ("", "fn f() -> impl Sized {}", "not `impl Trait`"),
        ("", "fn f() -> Result<&str, E> {}", "write `String`"),
        ("", "fn f() -> Result<_, E> {}", "write the type out"),
        ("", "fn f() -> R;", "a task has a body"),
        ("", "fn option() -> R {}", "`struct = OptionTask`"),
        ("", "fn self_() -> R {}", "`struct = SelfTask`"),
        ("", "fn _1() -> R {}", "`struct = Task1`"),
        ("", "struct X;", "`#[task]` goes on a function"),
        (
            "external, path = \"x.csv\"",
            "fn f() -> R {}",
            "has no body",
        ),
        ("external", "fn f() -> R;", "needs a `path`"),
        (
            "external, path = \"x.csv\"",
            "fn f(#[requires] x: X) -> R;",
            "requires nothing",
        ),
        (
            "external, path = \"x.csv\"",
            "fn f(#[resource] x: X) -> R;",
            "no resource",
        ),
        (
            "external, path = \"x.csv\"",
            "fn f(#[context] x: X) -> R;",
            "no context",
        ),
    ]);
}

#[test]
fn parameters() {
    check(&[
        (
            "",
            "fn f((a, b): (u8, u8)) -> R {}",
            "destructure in the body",
        ),
        ("", "fn f(ref a: u8) -> R {}", "destructure in the body"),
        ("", "fn f(_: u8) -> R {}", "write `_name`"),
        (
            "",
            "fn f(#[cfg(unix)] x: u8) -> R {}",
            "`cfg` on a parameter",
        ),
        (
            "",
            "fn f(#[cfg_attr(unix, x)] x: u8) -> R {}",
            "`cfg_attr` on a parameter",
        ),
        ("", "fn f(x: impl Sized) -> R {}", "not `impl Trait`"),
        ("", "fn f(x: &mut u8) -> R {}", "cannot change"),
        (
            "",
            "fn f(x: &'static str) -> R {}",
            "leave the lifetime out",
        ),
        ("", "fn f(x: Option<&str>) -> R {}", "write `String` here"),
        ("", "fn f(x: &[&[u8]]) -> R {}", "write `Vec<u8>` here"),
        ("", "fn f(x: &&Table) -> R {}", "write `Table` here"),
        ("", "fn f(x: Cow<'_, str>) -> R {}", "no lifetimes"),
        (
            "",
            "fn f(#[resource] x: &dyn Shape) -> R {}",
            "Arc<dyn Shape>",
        ),
        ("", "fn f(x: Vec<_>) -> R {}", "write the type out"),
        ("", "fn f(x: HashSet<u8>) -> R {}", "use a `BTreeSet`"),
        (
            "",
            "fn f(x: &[std::collections::HashSet<u8>]) -> R {}",
            "use a `BTreeSet`",
        ),
        ("", "fn f(#[param] x: u8) -> R {}", "says nothing here"),
        ("", "fn f(#[param()] x: u8) -> R {}", "says nothing here"),
        (
            "",
            "fn f(#[param(secrt)] x: u8) -> R {}",
            "did you mean `secret`?",
        ),
        (
            "",
            "fn f(#[param(secret, secret)] x: u8) -> R {}",
            "given twice",
        ),
        (
            "",
            "fn f(#[param(secret, insignificant)] x: u8) -> R {}",
            "not both",
        ),
        (
            "",
            "fn f(#[param(default)] x: u8) -> R {}",
            "`default = 100`",
        ),
        (
            "",
            "fn f(#[param(secret = 1)] x: u8) -> R {}",
            "stands alone",
        ),
        (
            "",
            "fn f(#[param(secret)] #[param(default = 1)] x: u8) -> R {}",
            "given twice",
        ),
        (
            "",
            "fn f(#[param(secret)] #[requires] x: u8) -> R {}",
            "one of `param`",
        ),
        ("", "fn f(#[requires()] x: u8) -> R {}", "names no task"),
        (
            "",
            "fn f(#[requires(A, B)] x: u8) -> R {}",
            "takes one expression",
        ),
        ("", "fn f(#[requires = A] x: u8) -> R {}", "in parentheses"),
        (
            "",
            "fn f(#[resource(x)] x: u8) -> R {}",
            "takes no arguments",
        ),
        ("", "fn f(#[resource] x: &str) -> R {}", "found by its type"),
        (
            "",
            "fn f(#[context] x: &C, #[context] y: &C) -> R {}",
            "one `#[context]`",
        ),
    ]);
}

#[test]
fn paths() {
    let f = "fn f(day: u8, #[requires] t: T, #[resource] p: P, #[param(secret)] s: u8) -> R {}";
    check(&[
        (
            "path = \"{dya}.csv\"",
            f,
            "unknown placeholder `{dya}`; did you mean `{day}`? (there are `{day}`, `{key}`, `{name}`, `{ext}`)",
        ),
        ("path = \"{}.csv\"", f, "unknown placeholder"),
        ("path = \"{day.csv\"", f, "not closed"),
        ("path = \"day}.csv\"", f, "closes nothing"),
        ("path = \"\", format = F", f, "empty"),
        ("path = \"a//b.csv\"", f, "empty segment"),
        ("path = \"../b.csv\"", f, "`..` cannot be"),
        ("path = \"a/./b.csv\"", f, "cannot be a segment"),
        ("path = \"/a.csv\"", f, "relative"),
        ("path = \"a/\", format = F", f, "relative"),
        ("path = \"a:b.csv\"", f, "':' cannot stand in a path"),
        ("path = \"_kart/b.csv\"", f, "kept for kart"),
        ("path = \"b.xyz\"", f, "the extension `xyz` names no format"),
        ("path = \"b/{day}\"", f, "no extension"),
        ("path = \"b.\"", f, "no extension"),
        ("path = \"a.b/c\"", f, "no extension"),
        ("path = \"{t}.csv\"", f, "required output"),
        ("path = \"{p}.csv\"", f, "comes from the runner"),
        ("path = \"{s}.csv\"", f, "is secret"),
        (
            "path = \"{key}.csv\"",
            "fn f(key: u8) -> R {}",
            "rename the parameter",
        ),
    ]);
}

#[test]
fn all_errors_of_an_item_are_reported_at_once() {
    let messages = messages(
        "retires = 1, path = \"{x}.txt\", version = 0, timeout = \"soon\"",
        "unsafe fn vec<T>(#[param(zap)] a: &mut u8, _: u8, #[requires] b: Option<&u8>) {}",
    );
    assert_eq!(messages.len(), 12, "{messages:#?}");
}

#[test]
fn helper_attributes_never_come_out() {
    for item in [
        "fn f(#[param(default = 1)] x: u8, #[requires(A)] y: B, /** doc */ #[resource] z: &Z) -> R {}",
        "fn f(#[param(nonsense)] x: u8, #[requires()] y: B, #[context] z: &Z) {}",
        "fn f(#[param(default = 1)] x: u8 = 5, #[requires] y: B, #[doc = \"d\"] z: Z) -> R {}",
    ] {
        let (tokens, _) = expand("", item);
        for helper in [
            "# [param",
            "# [requires",
            "# [resource",
            "# [context",
            "doc = \"d\"]  z",
        ] {
            assert!(!tokens.contains(helper), "`{helper}` in {tokens}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_kept() {
    let (tokens, messages) = expand("", "fn f(#[param(secret)] x: u8 = 5) -> R { x }");
    assert_eq!(messages.len(), 1, "{messages:#?}");
    assert_eq!(tokens, "fn f (x : u8 = 5) -> R { x }");
}

#[test]
fn an_error_leaves_function_and_struct() {
    let tokens = task(
        "verison = 2".parse().expect("tokens"),
        "/// Docs.\n#[must_use] pub async fn clean(day: &str, #[requires] t: &T, #[resource] p: &P) -> R { body }"
            .parse()
            .expect("tokens"),
    );
    let file = syn::parse2(tokens).expect("the expansion is Rust");
    let text = prettyplease::unparse(&file);
    for expected in [
        "pub async fn clean(day: &str, t: &T, p: &P) -> R {\n    body\n}",
        "pub day: ::std::string::String,",
        "pub t: ::kart::__private::Dep<T>,",
        "impl ::kart::__private::Task for Clean {",
        "::core::compile_error! {\n    \"unknown option `verison`; did you mean `version`?",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}
