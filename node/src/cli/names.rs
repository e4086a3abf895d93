//! What people type for things that have an id and a name.

use serde::Deserialize;
use serde_json::Value;

use super::CliError;
use super::api_types::{Account, Person, PersonList};
use super::client::Client;

/// Fewer characters than this would be a guess.
const MIN_PART: usize = 4;
/// The most accounts that the API lists in one answer.
const PAGE: u32 = 1_000;

/// A thing's id and what else it is called by.
pub struct Names {
    pub id: String,
    pub others: Vec<String>,
}

/// The one thing that `text` means: by its id, by a name that no other has, or by the beginning
/// or the end of its id. `what` reads for example `token`, `list` is the command that shows them.
pub fn pick<'a, T>(
    things: &'a [T],
    text: &str,
    names: impl Fn(&T) -> Names,
    what: &str,
    list: &str,
) -> Result<&'a T, CliError> {
    let wanted = text.to_lowercase();
    let matching = |is_meant: &dyn Fn(&Names) -> bool| -> Vec<&'a T> {
        let meant = things.iter().filter(|thing| is_meant(&names(thing)));
        meant.collect()
    };
    let is_part = |names: &Names| {
        let id = names.id.to_lowercase();
        let long_enough = wanted.len() >= MIN_PART;
        long_enough && (id.starts_with(&wanted) || id.ends_with(&wanted))
    };
    let by_id = matching(&|names| names.id.to_lowercase() == wanted);
    let by_name = || {
        matching(&|names| {
            names
                .others
                .iter()
                .any(|name| name.to_lowercase() == wanted)
        })
    };
    let found = [by_id, by_name(), matching(&is_part)]
        .into_iter()
        .find(|found| !found.is_empty())
        .unwrap_or_default();
    match found.as_slice() {
        [thing] => Ok(thing),
        [] => Err(CliError::Refused(format!(
            "there is no {what} '{text}'; `{list}` shows them"
        ))),
        [first, second, ..] => Err(CliError::Refused(format!(
            "'{text}' may be {} or {}; type the {what}'s id",
            names(first).id,
            names(second).id
        ))),
    }
}

#[derive(Deserialize)]
struct AccountPage {
    users: Vec<Value>,
    next_after: Option<String>,
}

/// All accounts as the API gives them, for admins.
pub async fn all_account_values(client: &Client) -> Result<Vec<Value>, CliError> {
    let mut accounts = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/users?limit={PAGE}{after}");
        let mut page: AccountPage = client.get(&path).await?;
        accounts.append(&mut page.users);
        match page.next_after {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(accounts),
        }
    }
}

/// All accounts, for admins.
pub async fn all_accounts(client: &Client) -> Result<Vec<Account>, CliError> {
    let values = all_account_values(client).await?;
    let accounts: Result<Vec<Account>, _> =
        values.into_iter().map(serde_json::from_value).collect();
    accounts.map_err(|error| CliError::Refused(format!("cannot understand an account: {error}")))
}

/// The account that an e-mail address, an id or a name means, for admins.
pub async fn account(client: &Client, text: &str) -> Result<Account, CliError> {
    let accounts = all_accounts(client).await?;
    let names = |account: &Account| Names {
        id: account.id.to_string(),
        others: std::iter::once(account.name.clone())
            .chain(account.email.clone())
            .collect(),
    };
    pick(&accounts, text, names, "user", "jiggablend user list").cloned()
}

/// Somebody to share with, by a name or an id; for admins also by an e-mail address.
pub async fn person(client: &Client, text: &str) -> Result<Person, CliError> {
    if let Ok(id) = text.parse() {
        let name = text.to_owned();
        return Ok(Person { id, name });
    }
    let path = format!("/api/users/names?q={}", query_value(text));
    let found: PersonList = client.get(&path).await?;
    one_person(&found.users, text).cloned()
}

/// An exact name goes before those that only contain it.
fn one_person<'a>(found: &'a [Person], text: &str) -> Result<&'a Person, CliError> {
    let wanted = text.to_lowercase();
    let exact: Vec<&Person> = found
        .iter()
        .filter(|person| person.name.to_lowercase() == wanted)
        .collect();
    let meant: Vec<&Person> = match exact.is_empty() {
        true => found.iter().collect(),
        false => exact,
    };
    match meant.as_slice() {
        [person] => Ok(person),
        [] => Err(CliError::Refused(format!(
            "there is nobody like '{text}'; type a part of the name, the user's id, or as an admin the whole e-mail address"
        ))),
        several => {
            let words: Vec<String> = several
                .iter()
                .take(5)
                .map(|person| format!("{} ({})", person.name, person.id))
                .collect();
            Err(CliError::Refused(format!(
                "'{text}' may be {}; type the whole name or the id",
                words.join(", ")
            )))
        }
    }
}

/// A text as a value in an address's query.
pub fn query_value(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const THINGS: [(&str, &str); 3] = [
        ("0192f000-beef", "attic"),
        ("0192f000-cafe", "barn"),
        ("0192f000-f00d", "barn"),
    ];

    fn picked(text: &str) -> Result<&'static str, String> {
        let names = |thing: &(&str, &str)| Names {
            id: thing.0.to_owned(),
            others: vec![thing.1.to_owned()],
        };
        pick(&THINGS, text, names, "node", "jiggablend cluster status")
            .map(|thing| thing.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_or_a_part_of_an_id_is_enough_where_one_thing_has_it() {
        for text in ["0192f000-beef", "attic", "ATTIC", "beef", "-BEEF"] {
            assert_eq!(picked(text).unwrap(), "0192f000-beef", "{text}");
        }
        for (text, why) in [
            ("barn", "may be"),
            ("0192f000", "may be"),
            ("ef", "no node"),
        ] {
            let error = picked(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn who_is_called_so_goes_before_who_is_called_so_among_others() {
        let person = |name: &str| Person {
            id: jiggablend_raft::UserId::new(),
            name: name.to_owned(),
        };
        let people = [person("Ada"), person("Adalbert")];
        assert_eq!(one_person(&people, "ada").unwrap().name, "Ada");
        assert!(one_person(&people, "ad").is_err());
        assert_eq!(one_person(&people[1..], "ad").unwrap().name, "Adalbert");
        assert!(one_person(&[], "ad").is_err());
    }

    #[test]
    fn a_query_keeps_what_was_typed() {
        assert_eq!(query_value("a+b c@ü&x=1"), "a%2Bb%20c%40%C3%BC%26x%3D1");
    }
}
