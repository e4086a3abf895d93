//! What the runner's tests share: scenes, a real Blender, waiting for conditions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::find::{self, BlenderProgram};

/// Nothing here takes this long on a machine that works.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);

/// The Blender of the PATH. `testnet/setup` installs it.
pub(super) fn blender() -> BlenderProgram {
    find::locate_blender(None, std::env::var_os("PATH").as_deref())
        .expect("these tests need Blender; run testnet/setup")
}

/// A Python 3.11 that has `bpy` 4.5: JIGGABLEND_TEST_BPY, or where `testnet/setup` puts it.
pub(super) fn bpy() -> BlenderProgram {
    let python = std::env::var_os("JIGGABLEND_TEST_BPY").map_or_else(
        || {
            let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
            let cache = std::env::var_os("JIGGABLEND_CACHE")
                .map_or_else(|| home().join(".cache/jiggablend"), PathBuf::from);
            cache.join("bpy-4.5.15/bin/python")
        },
        PathBuf::from,
    );
    find::locate_blender(Some(&python), None)
        .expect("this test needs the bpy module; run testnet/setup, or set JIGGABLEND_TEST_BPY")
}

/// The folder with the scenes of `scenes.py`. Made once, beside the test binary.
pub(super) fn scenes() -> &'static Path {
    static SCENES: OnceLock<PathBuf> = OnceLock::new();
    SCENES.get_or_init(|| {
        let script = include_str!("scenes.py");
        let beside = std::env::current_exe().expect("a test binary has a path");
        let folder = beside.with_file_name(format!("runner-scenes-{:016x}", hash(script)));
        // What an earlier run that failed may have left.
        let _ = std::fs::remove_dir_all(artist_folder(&folder));
        if !folder.exists() {
            make_scenes(script, &folder);
        }
        folder
    })
}

fn make_scenes(script: &str, folder: &Path) {
    let parent = folder.parent().expect("a folder beside the test binary");
    let making = tempfile::tempdir_in(parent).expect("a folder beside the test binary");
    let script_file = making.path().join("scenes.py");
    std::fs::write(&script_file, script).expect("the script is written");
    let output = Command::new(blender().path())
        .args(["-b", "--factory-startup", "--python-exit-code", "42"])
        .arg("--python")
        .arg(&script_file)
        .arg("--")
        .args([making.path(), &artist_folder(folder)])
        .output()
        .expect("Blender starts");
    assert!(output.status.success(), "making the scenes: {output:?}");
    let renamed = std::fs::rename(making.path(), folder);
    // Another test run may have been quicker.
    assert!(renamed.is_ok() || folder.exists(), "{renamed:?}");
}

fn hash(script: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(script, &mut hasher);
    std::hash::Hasher::finish(&hasher)
}

fn artist_folder(scenes: &Path) -> PathBuf {
    scenes.with_extension("artist")
}

/// The path of one of the scenes.
pub(super) fn scene(name: &str) -> PathBuf {
    let path = scenes().join(format!("{name}.blend"));
    assert!(path.exists(), "scenes.py makes no {name}");
    path
}

/// What the artist's own render would have written.
pub(super) fn written_by_the_artist() -> bool {
    artist_folder(scenes()).exists()
}

/// The pixels that `blender -b SCENE -f FRAME` makes.
pub(super) fn reference_pixels(name: &str, frame: i32) -> image::DynamicImage {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A copy without the artist's outputs beside it; what it writes goes to its own folder.
    let output = Command::new(blender().path())
        .args(["-b", "--factory-startup", "-Y"])
        .arg(scene(name))
        .args(["--python-expr", MUTE_FILE_OUTPUTS])
        .arg("-o")
        .arg(folder.path().join("####"))
        .args(["-F", "PNG", "-f", &frame.to_string()])
        .output()
        .expect("Blender starts");
    let picture = folder.path().join(format!("{frame:04}.png"));
    image::open(&picture).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

const MUTE_FILE_OUTPUTS: &str = "import bpy
for tree in [bpy.context.scene.node_tree, *bpy.data.node_groups]:
    for node in tree.nodes if tree else []:
        node.mute = node.mute or node.type == 'OUTPUT_FILE'";

/// Waits until `condition` gives something.
pub(super) async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// True while any process of the group is there.
pub(super) fn group_lives(group: nix::unistd::Pid) -> bool {
    nix::sys::signal::killpg(group, None).is_ok()
}
