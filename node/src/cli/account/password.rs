//! Passwords, tokens and addresses that people type.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::cli::CliError;
use crate::cli::args::PasswordOptions;

/// The API takes no longer ones.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The password of an account that exists.
pub async fn password(options: PasswordOptions, whose: &str) -> Result<String, CliError> {
    if options.password_stdin {
        return secret_line("the password").await;
    }
    ask_in_secret(format!("Password of {whose}: ")).await
}

/// A password that is about to be set: typed twice where it is asked for.
pub async fn new_password(options: PasswordOptions, whose: &str) -> Result<String, CliError> {
    if options.password_stdin {
        return secret_line("the password").await;
    }
    let first = ask_in_secret(format!("New password of {whose}: ")).await?;
    let second = ask_in_secret("The same again: ".to_owned()).await?;
    if first != second {
        return Err(CliError::Refused(
            "the passwords are not the same; nothing was changed".to_owned(),
        ));
    }
    Ok(first)
}

/// The first line of stdin, which no argument and no history has.
pub async fn secret_line(what: &'static str) -> Result<String, CliError> {
    let read = || first_line(io::stdin().lock());
    let line = blocking(read)
        .await?
        .map_err(|error| CliError::file("cannot read", format!("{what} from stdin"), error))?;
    match line.is_empty() {
        true => Err(CliError::Usage(format!(
            "{what} is to be on stdin, and nothing is there; write for example: command < file"
        ))),
        false => Ok(line),
    }
}

/// An answer that may be seen. An error where there is no terminal to ask.
pub async fn ask(question: &'static str, option: &str) -> Result<String, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(format!(
            "there is no terminal to ask for it; name it with {option}"
        )));
    }
    let read = move || {
        eprint!("{question}");
        io::stderr().flush()?;
        first_line(io::stdin().lock())
    };
    blocking(read)
        .await?
        .map_err(|error| CliError::file("cannot read from", "the terminal", error))
}

/// The terminal shows nothing of what is typed.
async fn ask_in_secret(question: String) -> Result<String, CliError> {
    let typed = blocking(move || rpassword::prompt_password(question)).await?;
    typed.map_err(|error| {
        CliError::Usage(format!(
            "there is no terminal to ask for the password ({error}); write it to stdin, with --password-stdin"
        ))
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CliError::Refused(format!("cannot ask: {error}")))
}

/// Without its end.
fn first_line(input: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.take(MAX_LINE_BYTES).read_line(&mut line)?;
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    Ok(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_line_keeps_its_blanks_and_loses_its_end() {
        for (text, line) in [
            (" pass word \r\nmore", " pass word "),
            ("x", "x"),
            ("", ""),
            ("\n", ""),
        ] {
            assert_eq!(first_line(text.as_bytes()).unwrap(), line);
        }
    }

    #[test]
    fn an_endless_line_is_cut() {
        let line = first_line(io::BufReader::new(io::repeat(b'x'))).unwrap();
        assert_eq!(line.len() as u64, MAX_LINE_BYTES);
    }
}
