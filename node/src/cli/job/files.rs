//! Names that a farm gives to files, as names on this machine.

use std::collections::HashSet;

use jiggablend_raft::FileKind;

use crate::cli::api_types::File;
use crate::cli::output::is_harmless;

/// Most file systems take 255 bytes; room is left for what makes a name unique.
const MAX_NAME_BYTES: usize = 200;

/// A file of the farm and what it is called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    pub file: File,
    /// One component, never a path.
    pub name: String,
}

/// What to fetch of a job's files: of those of `kinds`, the newest of each name that the farm
/// gives (a frame may have been rendered again), each under a name of its own.
pub fn plan(files: Vec<File>, kinds: &[FileKind]) -> Vec<Download> {
    let mut taken = HashSet::new();
    let mut downloads = Vec::new();
    for file in files {
        if !kinds.contains(&file.kind) {
            continue;
        }
        let wanted = local_name(&file.name);
        let name = if taken.insert(wanted.to_lowercase()) {
            wanted
        } else {
            // The end of an id is random: this one is not taken.
            let name = with_suffix(&wanted, &file.id.to_string());
            taken.insert(name.to_lowercase());
            name
        };
        downloads.push(Download { file, name });
    }
    downloads
}

/// A foreign name as a plain file name: one component, visible, nothing that a shell, a terminal
/// or another operating system would take for something else.
pub fn local_name(foreign: &str) -> String {
    let last = foreign.rsplit(['/', '\\']).next().unwrap_or_default();
    let replaced: String = last
        .chars()
        .map(|character| match character {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' => '_',
            character if !is_harmless(character) => '_',
            character => character,
        })
        .collect();
    let trimmed = replaced.trim_matches(|character: char| character.is_whitespace());
    let trimmed = trimmed.trim_start_matches(['.', '-', '~']);
    let trimmed = trimmed.trim_end_matches(['.', ' ']);
    let mut name = shortened(trimmed);
    if name.is_empty() {
        name = "file".to_owned();
    }
    if is_reserved_on_windows(&name) {
        name.insert(0, '_');
    }
    name
}

/// `name` with at most [`MAX_NAME_BYTES`], its extension kept.
fn shortened(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let (stem, extension) = split_extension(name);
    let room = MAX_NAME_BYTES.saturating_sub(extension.len());
    format!("{}{extension}", &stem[..stem.floor_char_boundary(room)])
}

fn with_suffix(name: &str, suffix: &str) -> String {
    let (stem, extension) = split_extension(name);
    format!("{stem}-{suffix}{extension}")
}

/// The extension with its dot; what is too long for one is none.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 16 => name.split_at(dot),
        _ => (name, ""),
    }
}

fn is_reserved_on_windows(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_end().to_ascii_uppercase();
    let is_numbered = |prefix| {
        stem.strip_prefix(prefix).is_some_and(|rest: &str| {
            rest.len() == 1 && rest.chars().all(|character| character.is_ascii_digit())
        })
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || is_numbered("COM")
        || is_numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiggablend_raft::{ContentId, FileId, TimestampMs};

    fn file(name: &str, kind: FileKind) -> File {
        File {
            id: FileId::new(),
            kind,
            name: name.into(),
            size_bytes: 1,
            content: ContentId([0; 32]),
            created_at_ms: TimestampMs(1),
        }
    }

    #[test]
    fn a_name_never_leaves_its_folder() {
        for (foreign, local) in [
            ("../../etc/passwd", "passwd"),
            ("/etc/passwd", "passwd"),
            ("C:\\Windows\\x.png", "x.png"),
            ("..", "file"),
            (".", "file"),
            ("", "file"),
            ("a/", "file"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("a\0b\nc\u{202e}.png", "a_b_c_.png"),
            ("x:y*z?.png", "x_y_z_.png"),
            ("CON.png", "_CON.png"),
            ("com1", "_com1"),
            (" frame 1.png ", "frame 1.png"),
            ("Würfel_0001.png", "Würfel_0001.png"),
        ] {
            assert_eq!(local_name(foreign), local, "{foreign:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_letters_and_keeps_its_extension() {
        let name = local_name(&format!("{}.png", "ü".repeat(300)));
        assert!(name.len() <= MAX_NAME_BYTES);
        assert!(name.ends_with("ü.png"));
    }

    #[test]
    fn files_whose_names_become_the_same_do_not_overwrite_each_other() {
        let files = vec![
            file("a/x.png", FileKind::Frame),
            file("b/X.png", FileKind::Frame),
            file("x.png", FileKind::Log),
        ];
        let second = files[1].id;
        let plan = plan(files, &[FileKind::Frame]);
        let names: Vec<&str> = plan.iter().map(|download| download.name.as_str()).collect();
        assert_eq!(names, ["x.png".to_owned(), format!("X-{second}.png")]);
    }
}
