//! The scene files that a testnet renders, made by `testnet/scenes/make.py` inside Blender.

use std::path::Path;

use tokio::process::Command;

use crate::program::{blender, checkout, last_lines};
use crate::{Result, TestnetError};

/// A scene that `make.py` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// The sample animation: about two seconds of one core a frame.
    Sample,
    /// About 0.2 s a frame.
    Short,
    /// A frame takes longer than any test waits: it is there to be ended.
    Slow,
}

impl Scene {
    fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Short => "short",
            Self::Slow => "slow",
        }
    }
}

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    scene: Scene,
    frames: Option<u32>,
    samples: Option<u32>,
}

impl Recipe {
    pub fn of(scene: Scene) -> Self {
        Self {
            scene,
            frames: None,
            samples: None,
        }
    }

    /// The scene's own range becomes 1 to `frames`.
    pub fn frames(mut self, frames: u32) -> Self {
        self.frames = Some(frames);
        self
    }

    /// Cycles samples for each pixel: a frame takes longer in proportion.
    pub fn samples(mut self, samples: u32) -> Self {
        self.samples = Some(samples);
        self
    }

    /// Makes the scene file at `out`; takes a second or two.
    pub async fn make(self, out: &Path) -> Result<()> {
        let mut command = Command::new(blender());
        command
            .args(["--background", "--factory-startup"])
            .args(["--python-exit-code", "1", "--python"])
            .arg(checkout().join("testnet/scenes/make.py"))
            .args(["--", self.scene.name()])
            .arg(out);
        if let Some(frames) = self.frames {
            command.args(["--frames", &frames.to_string()]);
        }
        if let Some(samples) = self.samples {
            command.args(["--samples", &samples.to_string()]);
        }
        let output = command
            .kill_on_drop(true)
            .output()
            .await
            .map_err(TestnetError::io(format!(
                "starting {} to make a scene",
                blender().display()
            )))?;
        // Blender's exit code 0 alone is no success.
        if !output.status.success() || !out.is_file() {
            let said = [output.stdout, output.stderr].concat();
            return Err(TestnetError::Program {
                program: "blender, making a scene,".into(),
                status: output.status.to_string(),
                last_words: last_lines(&String::from_utf8_lossy(&said), 15),
            });
        }
        Ok(())
    }
}
