//! The demo's directory: everything that it writes is below it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// A fresh directory, removed when it is dropped unless it is to be kept.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
    run_dir: PathBuf,
}

impl Place {
    /// Makes one in the system's directory for temporary files; the run directory may be elsewhere.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(run_dir: Option<&Path>, keep: bool) -> anyhow::Result<Place> {
        let parent = std::env::temp_dir();
        let mut dir = tempfile::Builder::new()
            .prefix("tif-demo-")
            .tempdir_in(&parent)
            .with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        dir.disable_cleanup(keep);
        let run_dir = match run_dir {
            // Its parts run elsewhere than this process, perhaps.
            Some(given) => std::path::absolute(given).with_context(|| format!("--run-dir {}", given.display()))?,
            None => dir.path().join("run"),
        };
        std::fs::create_dir(dir.path().join("log")).context("cannot make the log directory")?;
        Ok(Place { dir, run_dir })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where the agent is found.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Where the agent keeps its state.
    pub fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The agent's configuration.
    pub fn config(&self) -> PathBuf {
        self.path().join("tif.toml")
    }

    /// The log of a part.
    pub fn log(&self, part: &str) -> PathBuf {
        self.path().join("log").join(format!("{part}.log"))
    }

    /// Every log that there is.
    pub fn logs(&self) -> Vec<PathBuf> {
        let dirs = [self.path().join("log"), self.state_dir().join("log")];
        let files = dirs.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
        let mut logs: Vec<PathBuf> = files.filter_map(|entry| Some(entry.ok()?.path())).collect();
        logs.sort();
        logs
    }

    /// The index, also for a part that was only told the directory.
    pub fn index_in(place: &Path) -> PathBuf {
        place.join("index")
    }
}
