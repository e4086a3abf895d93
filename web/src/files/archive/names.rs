//! Which files are in an archive, and what they are called there.

use std::collections::HashSet;

use jiggablend_raft::{File, FileKind, Job, JobId, State, TaskKind};

use super::Entry;
use crate::files::safe_file_name;
use crate::views::job_name;

/// The job's name, and its files of that kind with names that differ; `None` where there is no
/// such job.
pub(super) fn entries(state: &State, job: JobId, kind: FileKind) -> Option<(String, Vec<Entry>)> {
    let job = state.jobs.get(&job)?;
    let mut taken = HashSet::new();
    let files = job.files.iter().filter_map(|id| state.files.get(id));
    let entries = files
        .filter(|file| file.kind == kind)
        .map(|file| {
            let name = safe_file_name(&file.name).unwrap_or_else(|| "file".to_owned());
            let name = match kind {
                FileKind::Log => format!("{}{name}", task_prefix(job, file)),
                _ => name,
            };
            Entry {
                file: file.id,
                name: untaken(name, &mut taken),
                size_bytes: file.size_bytes,
                modified_at: file.created_at,
            }
        })
        .collect();
    Some((job_name(state, job), entries))
}

/// All logs have one name; their task tells them apart.
fn task_prefix(job: &Job, file: &File) -> String {
    let task = file.task.and_then(|index| job.tasks.get(index as usize));
    match task.map(|task| task.kind) {
        Some(TaskKind::Frame(frame)) => format!("frame_{:04}_", frame.0),
        Some(TaskKind::Encode) => "video_".to_owned(),
        None => String::new(),
    }
}

/// The name, or one like it with a number. Names that differ in case only are one name to some
/// systems.
fn untaken(name: String, taken: &mut HashSet<String>) -> String {
    if taken.insert(name.to_lowercase()) {
        return name;
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
        _ => (&*name, String::new()),
    };
    (2_u64..)
        .map(|number| format!("{stem} ({number}){extension}"))
        .find(|name| taken.insert(name.to_lowercase()))
        .expect("some number is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_get_a_number() {
        let mut taken = HashSet::new();
        let mut name = |name: &str| untaken(name.to_owned(), &mut taken);
        assert_eq!(name("a.png"), "a.png");
        assert_eq!(name("a.png"), "a (2).png");
        assert_eq!(
            name("A.PNG"),
            "A (3).PNG",
            "also where only the case differs"
        );
        assert_eq!(name(".hidden"), ".hidden");
        assert_eq!(name(".hidden"), ".hidden (2)");
    }
}
