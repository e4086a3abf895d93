//! `logout`: forgets saved sign-ins, and revokes their tokens.

use serde_json::json;

use super::login::logins_file;
use crate::cli::CliError;
use crate::cli::args::LogoutArgs;
use crate::cli::client::Client;
use crate::cli::logins::{Login, Logins, LoginsFile};
use crate::cli::output::Output;
use crate::cli::target::Target;

pub async fn logout(args: &LogoutArgs, output: &Output) -> Result<(), CliError> {
    let file = logins_file()?;
    let logins = match file.read() {
        Ok(logins) => logins,
        // What cannot be read can be forgotten.
        Err(error) if args.all => {
            file.forget_all()?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let mut told = Vec::new();
    let mut first_error = None;
    for (farm, login) in chosen(args, &logins)? {
        // Forgotten first: whatever the farm says, this machine is signed out.
        file.change(|logins| logins.remove(&farm))?;
        let revoked = revoke(args, &farm, &login, &file, output).await;
        told.push(json!({"id": farm, "name": login.farm_name, "revoked": revoked.is_ok()}));
        if !output.is_json() {
            output.line(&format!(
                "signed out {} at the farm {}",
                login.user, login.farm_name
            ));
        }
        if let Err(error) = revoked {
            first_error.get_or_insert_with(|| not_revoked(&login, &error));
        }
    }
    if output.is_json() {
        output.json(&json!({ "farms": told }));
    }
    first_error.map_or(Ok(()), Err)
}

/// The farms that are meant.
fn chosen(args: &LogoutArgs, logins: &Logins) -> Result<Vec<(String, Login)>, CliError> {
    let owned = |(farm, login): (&str, &Login)| (farm.to_owned(), login.clone());
    let one = match &args.farm {
        _ if args.all => return Ok(logins.iter().map(owned).collect()),
        Some(text) => logins.named(text).ok_or_else(|| {
            let names: Vec<&str> = logins
                .iter()
                .map(|(_, login)| login.farm_name.as_str())
                .collect();
            let known = match names.is_empty() {
                true => "none".to_owned(),
                false => names.join(", "),
            };
            CliError::Refused(format!(
                "nobody signed in at the farm '{text}' from this machine; sign-ins are saved at: {known}"
            ))
        })?,
        None => logins.current().ok_or_else(|| {
            CliError::Refused("nobody is signed in from this machine; there is nothing to do".into())
        })?,
    };
    Ok(vec![owned(one)])
}

async fn revoke(
    args: &LogoutArgs,
    farm: &str,
    login: &Login,
    file: &LoginsFile,
    output: &Output,
) -> Result<(), CliError> {
    let Some(id) = &login.token_id else {
        let why = "it was brought along with --with-token, and is not known by its id";
        return Err(CliError::Refused(why.to_owned()));
    };
    let mut target = Target::of_login(file.clone(), farm, login);
    // It is not in the file any more.
    target.urls.extend(login.nodes.clone());
    let client = Client::new(target, true, &args.way, output)?;
    match client.remove(&format!("/api/tokens/{id}")).await {
        // It is good for nothing already.
        Err(CliError::Problem(problem)) if matches!(problem.status, 401 | 404) => Ok(()),
        other => other,
    }
}

fn not_revoked(login: &Login, error: &CliError) -> CliError {
    CliError::Refused(format!(
        "the sign-in at the farm {} is forgotten here, but its token is still good ({error}); revoke it with `jiggablend token revoke` or on the farm's page",
        login.farm_name
    ))
}
