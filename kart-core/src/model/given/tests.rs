use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Day(u32);

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let day = text.strip_prefix("day-").ok_or("a day is `day-N`")?;
        day.parse()
            .map(Day)
            .map_err(|_| format!("{day} is no number"))
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Fields {
    start_day: Day,
    #[serde(default)]
    pin: u16,
    #[serde(default)]
    name: Option<String>,
}

const fn param(name: &'static str, kind: ParamKind) -> ParamSpec {
    ParamSpec {
        name,
        ty: "",
        doc: "",
        kind,
        default: None,
    }
}

static PARAMS: [ParamSpec; 3] = [
    param("start_day", ParamKind::Significant),
    param("pin", ParamKind::Secret),
    param("name", ParamKind::Significant),
];

fn read(values: &[(&str, &str)]) -> Result<Fields, String> {
    let values = values
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Given::Text((*text).to_owned())));
    super::read(&PARAMS, values.collect()).map_err(|error| error.to_string())
}

#[test]
fn each_text_is_read_as_its_field_asks() {
    let fields = read(&[("start_day", "day-3"), ("pin", "1234"), ("name", "7")]);
    let expected = Fields {
        start_day: Day(3),
        pin: 1234,
        name: Some("7".to_owned()),
    };
    assert_eq!(fields, Ok(expected));
}

#[test]
fn the_option_is_named_whatever_refused_its_text() {
    let error = read(&[("start_day", "3")]).unwrap_err();
    assert_eq!(
        error,
        "invalid value `3` for parameter `start_day`: a day is `day-N`"
    );
    let error = read(&[("start_day", "day-x")]).unwrap_err();
    assert_eq!(
        error,
        "invalid value `day-x` for parameter `start_day`: x is no number"
    );
}

#[test]
fn a_secret_that_is_refused_is_not_shown() {
    let error = read(&[("start_day", "day-1"), ("pin", "hunter2")]).unwrap_err();
    assert_eq!(error, "invalid value for parameter `pin`: it is secret");
}
