//! JSON bodies, with problems that say what is wrong with them.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;
use serde_json::error::Category;

use crate::problem::{Problem, ProblemKind};

/// A body that must be JSON of that shape.
pub(crate) struct ApiJson<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // Also what keeps a foreign page's form from being read as JSON.
        let media_type = request.headers().get(header::CONTENT_TYPE);
        let is_json = media_type
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Problem::new(
                ProblemKind::WrongMediaType,
                "the body must be JSON; send it with Content-Type: application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            let kind = match error.status() {
                axum::http::StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
                _ => ProblemKind::BadJson,
            };
            let why = match kind {
                ProblemKind::TooLarge => "the body is too large; send less at once",
                _ => "the body broke off; send it again",
            };
            Problem::new(kind, why)
        })?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let read = serde_json::from_slice(bytes).and_then(|mut body: Value| {
        write_whole_numbers_as_such(&mut body)?;
        object(body)
    });
    read.map_err(|error| {
        let (kind, what) = match error.classify() {
            Category::Data => (ProblemKind::InvalidRequest, "the body is not valid"),
            _ => (ProblemKind::BadJson, "the body is not JSON"),
        };
        Problem::new(
            kind,
            format!("{what}: {}", in_plain_words(&error.to_string())),
        )
    })
}

/// What Rust's readers say, without the names of its types.
pub(crate) fn in_plain_words(error: &str) -> String {
    const NUMBERS: [&str; 12] = [
        "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
    ];
    let error = error
        .trim_start_matches("Failed to deserialize query string: ")
        .trim_start_matches("Failed to deserialize query string");
    let mut words: Vec<String> = Vec::new();
    let mut given = error.split(' ').peekable();
    while let Some(word) = given.next() {
        let bare = word.trim_end_matches([',', ';']);
        let is_expected = words.last().is_some_and(|last| last == "expected");
        let plain = match bare {
            _ if is_expected && NUMBERS.contains(&bare) => "a whole number",
            "f32" | "f64" if is_expected => "a number",
            "struct" | "enum" if is_expected && given.peek().is_some() => {
                given.next(); // the type's name
                if bare == "struct" {
                    "an object"
                } else {
                    "a word"
                }
            }
            "sequence" => "a list",
            "map" => "an object",
            "variant" => "word",
            _ => bare,
        };
        words.push(format!("{plain}{}", &word[bare.len()..]));
    }
    words.join(" ")
}

/// Reads an object, or null where `T` may be that. Serde by itself takes a list for a structure
/// too, its fields in their order.
pub(crate) fn object<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let value = Value::deserialize(deserializer)?;
    if value.is_array() {
        return Err(D::Error::custom("a list stands where an object must"));
    }
    T::deserialize(value).map_err(D::Error::custom)
}

/// For a field of a change where `null` says something else than its absence.
pub(crate) fn given<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    object(deserializer).map(Some)
}

/// JSON knows one kind of number, and JSON Schema calls 5.0 an integer: so do we. Whole numbers
/// have 63 bits, as the document says of each.
fn write_whole_numbers_as_such(value: &mut Value) -> Result<(), serde_json::Error> {
    /// Up to here every whole number has a floating-point number of its own.
    const EXACT: f64 = (1_u64 << 53) as f64;
    match value {
        Value::Number(number) => {
            if number.is_u64() && !number.is_i64() {
                return Err(serde_json::Error::custom(format!("{number} is too large")));
            }
            let float = number.as_f64().filter(|_| number.is_f64());
            if let Some(float) = float.filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)
            {
                *number = (float as i64).into();
            }
            Ok(())
        }
        Value::Array(values) => values.iter_mut().try_for_each(write_whole_numbers_as_such),
        Value::Object(fields) => fields
            .values_mut()
            .try_for_each(write_whole_numbers_as_such),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(rename = "name")]
        _name: String,
    }

    #[test]
    fn what_is_wrong_is_said_without_the_names_of_our_types() {
        for (said, plain) in [
            (
                "invalid type: string \"a\", expected struct NewJob",
                "invalid type: string \"a\", expected an object",
            ),
            (
                "invalid type: map, expected u64",
                "invalid type: an object, expected a whole number",
            ),
            (
                "Failed to deserialize query string: limit: invalid digit found in string",
                "limit: invalid digit found in string",
            ),
            (
                "unknown variant `x`, expected `a` or `b`",
                "unknown word `x`, expected `a` or `b`",
            ),
        ] {
            assert_eq!(in_plain_words(said), plain);
        }
        let odd = format!("{:?}", parse::<Body>(b"7").err());
        assert!(odd.contains("expected an object"), "{odd}");
        assert!(!odd.contains("Body"), "{odd}");
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_point() {
        #[derive(serde::Deserialize)]
        struct Numbers {
            n: [i64; 1],
        }
        let read = |list: &str| {
            let body = format!("{{\"n\": {list}}}");
            parse::<Numbers>(body.as_bytes()).ok().map(|read| read.n)
        };
        assert_eq!(read("[5.0]"), Some([5]));
        assert_eq!(read("[-2e3]"), Some([-2000]));
        assert_eq!(read("[5.5]"), None);
        assert_eq!(read("[1e300]"), None);
        assert_eq!(read("[9223372036854775808]"), None);
        assert_eq!(read("[9223372036854775807]"), Some([i64::MAX]));
    }

    #[test]
    fn a_body_of_another_shape_is_told_from_one_that_is_no_json() {
        let kind = |text: &str| parse::<Body>(text.as_bytes()).map_err(|problem| problem.kind());
        assert!(kind(r#"{"name": "a"}"#).is_ok());
        let unknown = kind(r#"{"name": "a", "colour": 1}"#);
        assert_eq!(unknown.err(), Some(ProblemKind::InvalidRequest));
        let wrong_type = kind(r#"{"name": 3}"#);
        assert_eq!(wrong_type.err(), Some(ProblemKind::InvalidRequest));
        let list = kind(r#"["a"]"#);
        assert_eq!(list.err(), Some(ProblemKind::InvalidRequest));
        assert_eq!(kind("{").err(), Some(ProblemKind::BadJson));
        assert_eq!(kind("").err(), Some(ProblemKind::BadJson));
    }
}
