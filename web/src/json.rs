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
            Problem::new(
                kind,
                format!("the body could not be read: {}", error.body_text()),
            )
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
        Problem::new(kind, format!("{what}: {error}"))
    })
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
