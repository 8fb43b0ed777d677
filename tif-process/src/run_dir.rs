//! The run directory: where the agent of a CPU has its socket and its lock.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the agent of this CPU is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The directory that was named, else `TIF_RUN_DIR`, else `$XDG_RUNTIME_DIR/tif`, else `/run/tif`. Empty variables count as not set.
    pub fn resolve(explicit: Option<&Path>) -> RunDir {
        RunDir::choose(explicit, std::env::var_os("TIF_RUN_DIR"), std::env::var_os("XDG_RUNTIME_DIR"))
    }

    fn choose(explicit: Option<&Path>, tif: Option<OsString>, xdg: Option<OsString>) -> RunDir {
        let set = |value: Option<OsString>| value.filter(|v| !v.is_empty()).map(PathBuf::from);
        RunDir(match explicit {
            Some(path) => path.to_owned(),
            None => set(tif).or_else(|| set(xdg).map(|dir| dir.join("tif"))).unwrap_or_else(|| "/run/tif".into()),
        })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("agent.sock")
    }

    /// The file that the agent holds locked while it lives.
    pub fn lock(&self) -> PathBuf {
        self.0.join("agent.lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_outright_goes_before_the_environment_and_that_before_the_default() {
        let check = |explicit: Option<&str>, tif: Option<&str>, xdg: Option<&str>, expect: &str| {
            let got = RunDir::choose(explicit.map(Path::new), tif.map(Into::into), xdg.map(Into::into));
            assert_eq!(got.path(), Path::new(expect));
        };
        check(Some("/a"), Some("/b"), Some("/c"), "/a");
        check(None, Some("/b"), Some("/c"), "/b");
        check(None, Some(""), Some("/c"), "/c/tif");
        check(None, None, None, "/run/tif");
        assert_eq!(RunDir::resolve(Some(Path::new("/a"))).socket(), Path::new("/a/agent.sock"));
    }
}
