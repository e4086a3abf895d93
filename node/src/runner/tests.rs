//! The whole runner: a real Blender, a real store, assignments in and outcomes out.

use std::path::Path;

use jiggablend_raft::{FailureKind, FileKind, JobId, NodeId};
use jiggablend_transfer::{
    Chunking, Content, ContentStore, Identity, ManifestHash, Mesh, MeshConfig, PeerId,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::testing::{DEADLINE, scene, until};
use super::*;

/// Gives everything to the test.
struct TestOutbox {
    outcomes: mpsc::UnboundedSender<(TaskId, Outcome)>,
    inspected: Mutex<Vec<(JobId, SceneFacts)>>,
    progress: Mutex<Vec<Progress>>,
}

#[async_trait]
impl Outbox for TestOutbox {
    async fn finished(&self, task: TaskId, _epoch: Epoch, outcome: Outcome) {
        self.outcomes.send((task, outcome)).unwrap();
    }

    async fn inspected(&self, job: JobId, facts: SceneFacts) {
        self.inspected.lock().unwrap().push((job, facts));
    }

    fn progress(&self, progress: Progress) {
        self.progress.lock().unwrap().push(progress);
    }
}

struct Farm {
    runner: Runner,
    content: Content,
    outbox: Arc<TestOutbox>,
    outcomes: mpsc::UnboundedReceiver<(TaskId, Outcome)>,
    mesh: Mesh,
    folder: tempfile::TempDir,
}

impl Farm {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(configure: impl FnOnce(&mut RunnerConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mesh = Mesh::start(MeshConfig {
            identity: Identity::load_or_create(&folder.path().join("key")).unwrap(),
            port: 0,
            listen: vec![std::net::Ipv4Addr::LOCALHOST.into()],
            mdns: false,
            farm: None,
        })
        .await
        .unwrap();
        let store = ContentStore::open(&folder.path().join("store")).unwrap();
        let content = Content::new(store, mesh.clone());
        let (sender, outcomes) = mpsc::unbounded_channel();
        let outbox = Arc::new(TestOutbox {
            outcomes: sender,
            inspected: Mutex::default(),
            progress: Mutex::default(),
        });
        let mut config = RunnerConfig::new(folder.path().join("scratch"));
        configure(&mut config);
        let storage = MeshStorage {
            content: content.clone(),
            copies: jiggablend_transfer::DEFAULT_COPIES,
            node_ids: Arc::new(|peers: &[PeerId]| peers.iter().map(|_| NodeId(1)).collect()),
        };
        let runner = Runner::start(
            config,
            Arc::new(storage),
            Arc::clone(&outbox) as Arc<dyn Outbox>,
        )
        .await;
        Self {
            runner,
            content,
            outbox,
            outcomes,
            mesh,
            folder,
        }
    }

    async fn store(&self, path: &Path) -> ContentRef {
        let file = tokio::fs::File::open(path).await.unwrap();
        let patience = Duration::from_secs(1);
        let kept = self
            .content
            .keep(file, Chunking::ContentDefined, 1, patience)
            .await
            .unwrap();
        ContentRef {
            content: ContentId(kept.stored.manifest.0),
            size_bytes: kept.stored.size_bytes,
            holders: vec![self.mesh.peer_id().to_string()],
        }
    }

    async fn read(&self, file: &NewFile) -> Vec<u8> {
        let manifest = ManifestHash(file.content.0);
        let mut bytes = Vec::new();
        let mut reader = self.content.read(manifest, &[], None).await.unwrap();
        reader.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len() as u64, file.size_bytes);
        bytes
    }

    async fn outcome(&mut self) -> (TaskId, Outcome) {
        tokio::time::timeout(DEADLINE, self.outcomes.recv())
            .await
            .expect("an outcome in time")
            .unwrap()
    }

    async fn failure(&mut self) -> (Failure, Option<NewFile>) {
        match self.outcome().await.1 {
            Outcome::Failed { failure, log } => (failure, log),
            committed => panic!("should have failed: {committed:?}"),
        }
    }

    async fn committed(&mut self) -> (TaskId, NewFile) {
        match self.outcome().await {
            (task, Outcome::Committed { output, .. }) => (task, output),
            (task, failed) => panic!("{task} failed: {failed:?}"),
        }
    }

    /// Waits until that task's engine tells a fraction: Blender is in the middle of it.
    async fn until_rendering(&self, task: TaskId) {
        until("progress inside the frame", || {
            let progress = self.outbox.progress.lock().unwrap();
            progress
                .iter()
                .find(|told| told.task == task && told.fraction.is_some())
                .map(|_| ())
        })
        .await;
    }

    /// The processes that work in this runner's scratch folder.
    fn processes(&self) -> Vec<Pid> {
        let scratch = self.folder.path().join("scratch").canonicalize().unwrap();
        let entries = std::fs::read_dir("/proc").unwrap();
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let id = entry.file_name().to_str()?.parse().ok()?;
                let folder = std::fs::read_link(entry.path().join("cwd")).ok()?;
                folder.starts_with(&scratch).then_some(Pid::from_raw(id))
            })
            .collect()
    }

    fn files_in_scratch(&self, folder: &str) -> usize {
        let folder = self.folder.path().join("scratch").join(folder);
        std::fs::read_dir(folder).unwrap().count()
    }

    async fn until_no_process(&self) {
        until("the end of every process", || {
            self.processes().is_empty().then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.runner.shutdown().await;
        assert!(self.processes().is_empty());
        assert_eq!(self.files_in_scratch("processes"), 0);
        assert_eq!(self.files_in_scratch("attempts"), 0);
        self.mesh.shutdown().await;
    }
}

fn frame(job: JobId, number: i32, scene: &ContentRef) -> Assignment {
    Assignment {
        task: TaskId {
            job,
            index: number as u32,
        },
        epoch: Epoch(1),
        work: Work::Frame {
            frame: FrameNumber(number),
            scene: scene.clone(),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_becomes_frames_and_a_video_with_one_blender() {
    let mut farm = Farm::start().await;
    let facts = farm.runner.facts();
    assert_eq!(facts.why_not, None);
    assert!(facts.blender_version.unwrap().split('.').count() >= 2);
    assert!(facts.ffmpeg.unwrap().starts_with("ffmpeg version"));
    assert!(facts.devices.iter().any(|device| device.kind == "CPU"));
    assert!(facts.cpu_threads > 0 && facts.memory_bytes > 0);

    let job = JobId::new();
    // Of odd size, where H.264 wants even sides.
    let scene = farm.store(&scene("cropped")).await;
    for number in 1..=4 {
        farm.runner.assign(frame(job, number, &scene));
        farm.runner.assign(frame(job, number, &scene));
    }
    assert_eq!(farm.runner.holding().len(), 4);
    let mut frames = std::collections::BTreeMap::new();
    for _ in 1..=4 {
        // The ends of attempts may overtake each other.
        let (task, outcome) = farm.outcome().await;
        let number = task.index;
        let Outcome::Committed {
            output,
            log,
            render_ms,
        } = outcome
        else {
            panic!("frame {number} failed: {outcome:?}");
        };
        assert_eq!(output.kind, FileKind::Frame);
        assert_eq!(output.name, format!("frame_{number:04}.png"));
        assert_eq!(output.media_type, "image/png");
        assert_eq!(output.holders, [NodeId(1)]);
        assert!(render_ms > 0);
        let picture = image::load_from_memory(&farm.read(&output).await).unwrap();
        assert_eq!((picture.width(), picture.height()), (21, 15));
        let log = log.expect("a log");
        assert_eq!(
            (log.kind, log.media_type.as_str()),
            (FileKind::Log, "text/plain")
        );
        let log = String::from_utf8(farm.read(&log).await).unwrap();
        assert!(log.contains(&format!("frame_{number:04}.png")), "{log}");
        let reference = ContentRef {
            content: output.content,
            size_bytes: output.size_bytes,
            holders: Vec::new(),
        };
        frames.insert(FrameNumber(number as i32), reference);
    }
    assert_eq!(frames.len(), 4);
    {
        let inspected = farm.outbox.inspected.lock().unwrap();
        assert_eq!(inspected.len(), 1, "one Blender opened the scene once");
        assert_eq!(inspected[0].0, job);
    }

    let encode = Assignment {
        task: TaskId { job, index: 99 },
        epoch: Epoch(1),
        work: Work::Encode {
            frames: frames.into_iter().collect(),
            fps_numerator: 30_000,
            fps_denominator: 1_001,
        },
    };
    farm.runner.assign(encode);
    let (_, video) = farm.committed().await;
    assert_eq!(video.kind, FileKind::Video);
    assert_eq!(
        (video.name.as_str(), video.media_type.as_str()),
        ("video.mp4", "video/mp4")
    );
    let path = farm.folder.path().join("video.mp4");
    std::fs::write(&path, farm.read(&video).await).unwrap();
    let probe = std::process::Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-of",
            "csv=p=0",
            "-show_entries",
        ])
        .arg("stream=codec_name,width,height,pix_fmt,r_frame_rate,nb_read_frames")
        .arg(&path)
        .output()
        .unwrap();
    let probe = String::from_utf8(probe.stdout).unwrap();
    assert_eq!(probe.trim(), "h264,22,16,yuv420p,30000/1001,4");

    until("an empty queue", || {
        farm.runner.holding().is_empty().then_some(())
    })
    .await;
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_taken_back_ends_its_blender_and_gives_nothing() {
    let mut farm = Farm::start().await;
    let endless = frame(JobId::new(), 1, &farm.store(&scene("endless")).await);
    let queued = frame(JobId::new(), 2, &farm.store(&scene("workbench")).await);
    farm.runner.assign(endless.clone());
    farm.until_rendering(endless.task).await;
    let blender = farm.processes();
    assert_eq!(blender.len(), 1);
    // Waits behind the endless one.
    farm.runner.assign(queued.clone());
    farm.runner.revoke(endless.task, endless.epoch);
    assert_eq!(farm.runner.holding(), [(queued.task, queued.epoch)]);
    assert_eq!(farm.committed().await.0, queued.task);
    assert!(!farm.processes().contains(&blender[0]));
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_lease_of_a_running_task_replaces_the_older() {
    let mut farm = Farm::start().await;
    let job = JobId::new();
    let endless = frame(job, 1, &farm.store(&scene("endless")).await);
    farm.runner.assign(endless.clone());
    farm.until_rendering(endless.task).await;
    let mut newer = frame(job, 1, &farm.store(&scene("workbench")).await);
    newer.epoch = Epoch(2);
    farm.runner.assign(newer.clone());
    assert_eq!(farm.runner.holding(), [(newer.task, newer.epoch)]);
    farm.committed().await;
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_blender_fails_the_attempt_and_the_next_one_works() {
    let mut farm = Farm::start().await;
    let endless = frame(JobId::new(), 1, &farm.store(&scene("endless")).await);
    farm.runner.assign(endless.clone());
    farm.until_rendering(endless.task).await;
    kill(farm.processes()[0], Signal::SIGSEGV).unwrap();
    let (failure, log) = farm.failure().await;
    assert_eq!(failure.kind, FailureKind::Crashed, "{failure:?}");
    let log = farm.read(&log.expect("a log")).await;
    assert!(String::from_utf8(log).unwrap().contains("Sample"));

    let next = frame(JobId::new(), 1, &farm.store(&scene("workbench")).await);
    farm.runner.assign(next.clone());
    assert_eq!(farm.committed().await.0, next.task);
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_takes_too_long_is_stopped() {
    let limit = Duration::from_secs(4);
    let mut farm = Farm::start_with(|config| config.attempt_limit = limit).await;
    let endless = frame(JobId::new(), 1, &farm.store(&scene("endless")).await);
    farm.runner.assign(endless);
    let (failure, _) = farm.failure().await;
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure:?}");
    farm.until_no_process().await;
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_a_scene_have_their_kind_and_change_nothing_for_the_next() {
    let mut farm = Farm::start().await;
    let text = farm.folder.path().join("text.blend");
    std::fs::write(&text, "this is no scene").unwrap();
    let missing = ContentRef {
        content: ContentId([7; 32]),
        size_bytes: 1,
        holders: vec![farm.mesh.peer_id().to_string()],
    };
    let scenes = [
        (farm.store(&text).await, FailureKind::SceneUnreadable),
        (farm.store(&scene("no_camera")).await, FailureKind::NoCamera),
        (
            farm.store(&scene("unknown_engine")).await,
            FailureKind::EngineMissing,
        ),
        (missing, FailureKind::ContentUnavailable),
    ];
    for (scene, kind) in scenes {
        farm.runner.assign(frame(JobId::new(), 1, &scene));
        let (failure, _) = farm.failure().await;
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(!failure.message.contains('\n'), "{failure:?}");
    }
    let good = frame(JobId::new(), 1, &farm.store(&scene("workbench")).await);
    farm.runner.assign(good.clone());
    assert_eq!(farm.committed().await.0, good.task);
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blender_without_work_goes_and_takes_its_scene_file_along() {
    let limit = Duration::from_millis(100);
    let mut farm = Farm::start_with(|config| config.idle_limit = limit).await;
    farm.runner.assign(frame(
        JobId::new(),
        1,
        &farm.store(&scene("workbench")).await,
    ));
    farm.committed().await;
    farm.until_no_process().await;
    until("the scene's removal", || {
        (farm.files_in_scratch("scenes") == 0).then_some(())
    })
    .await;
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_job_gets_another_process() {
    let mut farm = Farm::start().await;
    let scene = farm.store(&scene("workbench")).await;
    let mut seen = std::collections::BTreeSet::new();
    for job in [JobId::new(), JobId::new()] {
        farm.runner.assign(frame(job, 1, &scene));
        farm.committed().await;
        let processes = farm.processes();
        assert_eq!(processes.len(), 1, "the earlier job's Blender is gone");
        seen.extend(processes);
    }
    assert_eq!(seen.len(), 2);
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_slots_render_at_once() {
    let mut farm = Farm::start_with(|config| config.slots = 2).await;
    let endless = farm.store(&scene("endless")).await;
    let job = JobId::new();
    for number in [1, 2] {
        farm.runner.assign(frame(job, number, &endless));
    }
    for number in [1, 2] {
        farm.until_rendering(frame(job, number, &endless).task)
            .await;
    }
    assert_eq!(farm.processes().len(), 2);
    farm.runner.revoke(frame(job, 1, &endless).task, Epoch(1));
    let small = frame(JobId::new(), 1, &farm.store(&scene("workbench")).await);
    farm.runner.assign(small.clone());
    assert_eq!(farm.committed().await.0, small.task);
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_blender_says_why_and_goes_on() {
    let blender = Some(PathBuf::from("/nonexistent/blender"));
    let mut farm = Farm::start_with(|config| config.blender = blender).await;
    let why_not = farm.runner.facts().why_not.expect("a reason");
    assert!(why_not.contains("/nonexistent/blender"), "{why_not}");
    assert!(why_not.contains("--blender"), "{why_not}");
    assert_eq!(farm.runner.facts().blender_version, None);
    farm.runner.assign(frame(
        JobId::new(),
        1,
        &farm.store(&scene("workbench")).await,
    ));
    let (failure, _) = farm.failure().await;
    assert_eq!(failure.message, why_not);
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_blender_is_reported_with_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("blender");
    std::fs::write(&script, "#!/bin/sh\necho libGL is missing >&2\nexit 3\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).unwrap();
    let blender = Some(folder.path().to_owned());
    let farm = Farm::start_with(|config| config.blender = blender).await;
    let why_not = farm.runner.facts().why_not.expect("a reason");
    assert!(why_not.contains("exit code 3"), "{why_not}");
    assert!(why_not.contains("libGL is missing"), "{why_not}");
    farm.end().await;
}
