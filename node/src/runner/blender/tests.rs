//! The driver in a real Blender and in the `bpy` module.

use image::DynamicImage;
use nix::sys::signal::{Signal, kill};

use super::super::picture;
use super::super::testing::{
    self, DEADLINE, group_lives, reference_pixels, scene, until, written_by_the_artist,
};
use super::*;

struct Started {
    blender: Blender,
    scratch: Scratch,
    output: tempfile::TempDir,
    _scratch_folder: tempfile::TempDir,
}

async fn start_program(program: &BlenderProgram) -> Started {
    let scratch_folder = tempfile::tempdir().unwrap();
    let scratch = Scratch::open(scratch_folder.path()).unwrap();
    let blender = Blender::start(program, &scratch).await.unwrap();
    Started {
        blender,
        scratch,
        output: tempfile::tempdir().unwrap(),
        _scratch_folder: scratch_folder,
    }
}

/// A Blender with that scene open.
async fn open(name: &str) -> Started {
    let mut started = start_program(&testing::blender()).await;
    started.blender.open(&scene(name)).await.unwrap();
    started
}

impl Started {
    async fn render(&mut self, frame: i32) -> Result<DynamicImage, Failure> {
        let rendering = self.blender.render(FrameNumber(frame), self.output.path());
        let rendered = tokio::time::timeout(DEADLINE, rendering).await.unwrap()?;
        picture::check(&rendered.path, rendered.expected)?;
        Ok(image::open(&rendered.path).unwrap())
    }

    /// Begins to render a frame of a scene that takes forever, and returns in the middle of it.
    async fn render_endlessly(&mut self) {
        let watcher = self.blender.watcher();
        let sampling = until("the first sample", || {
            watcher.stats().and_then(|stats| stats.fraction)
        });
        tokio::select! {
            result = self.blender.render(FrameNumber(1), self.output.path()) => {
                panic!("an endless frame ended: {result:?}")
            }
            _ = sampling => {}
        }
    }

    /// Ends Blender, and shows that nothing is left of it.
    async fn end(self) {
        let group = self.blender.group_id();
        self.blender.end().await;
        assert!(!group_lives(group));
        let left = std::fs::read_dir(self.scratch.root().join("processes")).unwrap();
        assert_eq!(left.count(), 0);
    }
}

async fn assert_same_pixels(name: &str) {
    let mut started = open(name).await;
    for frame in [1, 3, 2] {
        let ours = started.render(frame).await.unwrap();
        let reference = reference_pixels(name, frame);
        assert_eq!(
            ours.as_bytes(),
            reference.as_bytes(),
            "{name}, frame {frame}"
        );
    }
    started.end().await;
}

#[tokio::test]
async fn workbench_frames_are_those_of_blender_f() {
    assert_same_pixels("workbench").await;
}

#[tokio::test]
async fn cycles_frames_are_those_of_blender_f() {
    assert_same_pixels("cycles").await;
}

#[tokio::test]
async fn eevee_frames_are_those_of_blender_f() {
    assert_same_pixels("eevee").await;
}

#[tokio::test]
async fn opening_a_scene_gives_its_facts() {
    let mut started = start_program(&testing::blender()).await;
    let facts = started.blender.open(&scene("cycles")).await.unwrap();
    assert_eq!(facts.blender_version, started.blender.version());
    assert_eq!(facts.engine, "CYCLES");
    assert_eq!((facts.width_px, facts.height_px), (32, 24));
    assert_eq!(
        (facts.fps_numerator, facts.fps_denominator),
        (30_000, 1_001)
    );
    started.end().await;
}

#[tokio::test]
async fn frames_before_zero_are_rendered_as_such() {
    let mut started = open("workbench").await;
    let rendered = started
        .blender
        .render(FrameNumber(-3), started.output.path())
        .await
        .unwrap();
    assert_eq!(rendered.path.file_name().unwrap(), "frame_-0003.png");
    picture::check(&rendered.path, rendered.expected).unwrap();
    started.end().await;
}

#[tokio::test]
async fn a_border_gives_the_size_that_blender_gives() {
    for (name, size) in [("bordered", None), ("cropped", Some(()))] {
        let mut started = open(name).await;
        let rendered = started
            .blender
            .render(FrameNumber(1), started.output.path())
            .await
            .unwrap();
        let exactly = ExpectedSize {
            is_cropped: false,
            ..rendered.expected
        };
        picture::check(&rendered.path, exactly).unwrap();
        assert_eq!(rendered.expected.is_cropped, size.is_some());
        let ours = image::open(&rendered.path).unwrap();
        assert_eq!(ours.as_bytes(), reference_pixels(name, 1).as_bytes());
        started.end().await;
    }
}

#[tokio::test]
async fn every_output_format_gives_a_png() {
    for name in ["exr", "movie", "deep"] {
        let mut started = open(name).await;
        let picture = started.render(2).await.unwrap();
        let is_deep = matches!(
            picture,
            DynamicImage::ImageRgba16(_) | DynamicImage::ImageRgb16(_)
        );
        assert_eq!(is_deep, name == "deep", "{name}");
        started.end().await;
    }
}

#[tokio::test]
async fn the_scene_that_was_active_when_saved_is_rendered() {
    let mut started = open("second_scene").await;
    let picture = started.render(1).await.unwrap();
    assert_eq!((picture.width(), picture.height()), (20, 10));
    started.end().await;
}

#[tokio::test]
async fn nothing_is_written_where_the_artist_would_write() {
    for name in ["workbench", "exr"] {
        let mut started = open(name).await;
        started.render(1).await.unwrap();
        let files = std::fs::read_dir(started.output.path()).unwrap();
        assert_eq!(files.count(), 1, "the frame and nothing else");
        started.end().await;
    }
    assert!(!written_by_the_artist());
}

#[tokio::test]
async fn an_unreadable_scene_says_so_and_blender_goes_on() {
    let mut started = start_program(&testing::blender()).await;
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(scene("workbench")).unwrap();
    let broken: [(&str, &[u8]); 3] = [
        ("truncated.blend", &whole[..whole.len() / 2]),
        ("text.blend", b"this is no scene"),
        ("empty.blend", b""),
    ];
    for (name, bytes) in broken {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let failure = started.blender.open(&path).await.unwrap_err();
        assert_eq!(
            failure.kind,
            FailureKind::SceneUnreadable,
            "{name}: {failure:?}"
        );
        let where_it_lies = folder.path().to_str().unwrap();
        assert!(!failure.message.contains(where_it_lies), "{failure:?}");
        assert!(!failure.message.contains('\n'), "{failure:?}");
    }
    started.blender.open(&scene("workbench")).await.unwrap();
    started.render(1).await.unwrap();
    started.end().await;
}

#[tokio::test]
async fn a_scene_without_a_camera_says_so() {
    let mut started = open("no_camera").await;
    let failure = started.render(1).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NoCamera, "{failure:?}");
    started.end().await;
}

#[tokio::test]
async fn an_engine_that_blender_lacks_is_named() {
    let mut started = start_program(&testing::blender()).await;
    let path = scene("unknown_engine");
    let failure = started.blender.open(&path).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::EngineMissing, "{failure:?}");
    assert!(failure.message.contains("NOBODY_HAS_THIS"), "{failure:?}");
    started.end().await;
}

#[tokio::test]
async fn a_stereo_scene_is_refused_with_what_to_do() {
    let mut started = start_program(&testing::blender()).await;
    let failure = started.blender.open(&scene("stereo")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::RenderError, "{failure:?}");
    assert!(failure.message.contains("Stereoscopy"), "{failure:?}");
    started.end().await;
}

#[tokio::test]
async fn a_render_error_has_blenders_words_and_the_next_frame_works() {
    let mut started = open("workbench").await;
    let file = started.output.path().join("a file, no folder");
    std::fs::write(&file, "x").unwrap();
    let failure = started
        .blender
        .render(FrameNumber(1), &file)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::RenderError, "{failure:?}");
    started.render(1).await.unwrap();
    started.end().await;
}

/// Debian's Blender has no OpenImageDenoise; others render this scene.
#[tokio::test]
async fn a_missing_denoiser_is_a_render_error() {
    let mut started = open("denoised").await;
    match started.render(1).await {
        Ok(_) => assert!(!started.blender.take_log().contains("OpenImageDenoiser")),
        Err(failure) => {
            assert_eq!(failure.kind, FailureKind::RenderError, "{failure:?}");
            assert!(failure.message.contains("OpenImageDenoiser"), "{failure:?}");
        }
    }
    started.end().await;
}

#[tokio::test]
async fn a_log_has_what_blender_printed_for_its_frame_and_no_more() {
    let mut started = open("cycles").await;
    started.blender.take_log();
    for frame in [1, 2] {
        started.render(frame).await.unwrap();
        let log = started.blender.take_log();
        assert!(log.contains(&format!("frame_000{frame}.png")), "{log}");
        assert!(
            !log.contains(&format!("frame_000{}.png", 3 - frame)),
            "{log}"
        );
        assert!(log.contains("Sample 1/1"), "{log}");
        assert!(!log.contains("jiggablend-sync"), "{log}");
    }
    started.end().await;
}

#[tokio::test]
async fn a_segfault_gives_a_crash_with_its_signal() {
    let mut started = open("endless").await;
    let process = started.blender.group_id();
    let watcher = started.blender.watcher();
    let crash = async {
        until("the first sample", || watcher.stats()?.fraction).await;
        kill(process, Signal::SIGSEGV).unwrap();
        std::future::pending::<()>().await;
    };
    let rendering = started
        .blender
        .render(FrameNumber(1), started.output.path());
    let failure = tokio::select! {
        result = tokio::time::timeout(DEADLINE, rendering) => result.unwrap().unwrap_err(),
        () = crash => unreachable!("it only crashes"),
    };
    assert_eq!(failure.kind, FailureKind::Crashed);
    assert!(failure.message.contains("SIGSEGV"), "{failure:?}");
    assert!(!group_lives(process));
}

#[tokio::test]
async fn ending_blender_in_the_middle_of_a_frame_leaves_no_process() {
    let mut started = open("endless").await;
    started.render_endlessly().await;
    started.end().await;
}

/// What a `kill -9` of the node does to the socket.
#[tokio::test]
async fn blender_ends_in_the_middle_of_a_frame_when_its_node_is_gone() {
    let mut started = open("endless").await;
    started.render_endlessly().await;
    let Blender {
        mut group,
        orders,
        answers,
        ..
    } = started.blender;
    drop((orders, answers));
    tokio::time::timeout(DEADLINE, group.wait())
        .await
        .expect("Blender ends by itself")
        .unwrap();
}

#[tokio::test]
async fn blender_runs_at_low_priority_in_a_clean_environment() {
    let started = open("workbench").await;
    let process = format!("/proc/{}", started.blender.group_id());
    let stat = std::fs::read_to_string(format!("{process}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    assert_eq!(after_name.split_whitespace().nth(16), Some("10"), "{stat}");
    let environment = std::fs::read_to_string(format!("{process}/environ")).unwrap();
    let root = started.scratch.root().to_str().unwrap();
    for variable in environment.split('\0').filter(|text| !text.is_empty()) {
        let (name, value) = variable.split_once('=').unwrap();
        match name {
            "HOME" | "TMPDIR" => assert!(value.starts_with(root), "{variable}"),
            "LANG" | "PATH" | "LD_LIBRARY_PATH" => {}
            _ => assert!(
                name.ends_with("_DEVICES") || name == "ZE_AFFINITY_MASK",
                "{variable}"
            ),
        }
    }
    started.end().await;
}

#[tokio::test]
async fn the_same_driver_renders_in_the_bpy_module() {
    let mut started = start_program(&testing::bpy()).await;
    assert!(started.blender.version().starts_with("4.5"));
    let devices = started.blender.devices().await.unwrap();
    assert!(
        devices.iter().any(|device| device.kind == "CPU"),
        "{devices:?}"
    );

    let facts = started.blender.open(&scene("cycles")).await.unwrap();
    assert_eq!((facts.width_px, facts.height_px), (32, 24));
    let watcher = started.blender.watcher();
    started.render(1).await.unwrap();
    started.render(2).await.unwrap();
    assert!(watcher.stats().is_some(), "the handler gets Blender's text");

    // It has the denoiser that Debian's Blender lacks.
    started.blender.open(&scene("denoised")).await.unwrap();
    started.render(1).await.unwrap();

    let unknown = started
        .blender
        .open(&scene("unknown_engine"))
        .await
        .unwrap_err();
    assert_eq!(unknown.kind, FailureKind::EngineMissing, "{unknown:?}");
    started.blender.open(&scene("no_camera")).await.unwrap();
    let no_camera = started.render(1).await.unwrap_err();
    assert_eq!(no_camera.kind, FailureKind::NoCamera, "{no_camera:?}");
    assert!(!written_by_the_artist());

    started.blender.open(&scene("endless")).await.unwrap();
    started.render_endlessly().await;
    started.end().await;
}
