//! The input if nobody names one: a tree that every machine with a Rust toolchain has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::service::{Input, Tree};

/// With fewer files the story is over before it is told.
const FILES_MIN: usize = 100;

/// Chooses the input, and counts its files.
///
/// # Errors
/// If it is too small, or is no directory.
pub fn choose(given: Option<&Path>, files_max: usize) -> anyhow::Result<(Input, usize)> {
    let candidates = match given {
        Some(dir) if !dir.is_dir() => bail!("--input {}: not a directory", dir.display()),
        Some(dir) => vec![dir.to_owned()],
        None => candidates(),
    };
    let mut best: Option<(Input, usize)> = None;
    for dir in candidates {
        // The parts may run in another directory, and names behind links could change.
        let Ok(dir) = dir.canonicalize() else { continue };
        let count = Tree::walk(&dir, files_max).files.len();
        if best.as_ref().is_none_or(|(_, most)| count > *most) {
            best = Some((Input { dir, files_max }, count));
        }
        if count == files_max {
            break;
        }
    }
    match best {
        Some((input, count)) if count >= FILES_MIN => Ok((input, count)),
        Some((input, count)) => bail!("{} has {count} files: name a directory with at least {FILES_MIN}: --input DIR", input.dir.display()),
        None => bail!("found no directory to index: name one with --input DIR"),
    }
}

/// The toolchain, everybody's toolchains, the sources of dependencies, and what every system has.
fn candidates() -> Vec<PathBuf> {
    let home = |variable: &str, below: &str| {
        let set = std::env::var_os(variable).map(PathBuf::from);
        set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(below)))
    };
    let cargo = home("CARGO_HOME", ".cargo").map(|dir| dir.join("registry").join("src"));
    let all = [sysroot(), home("RUSTUP_HOME", ".rustup"), cargo, Some("/usr/share".into()), Some("/usr".into())];
    all.into_iter().flatten().filter(|dir| dir.is_dir()).collect()
}

fn sysroot() -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}
