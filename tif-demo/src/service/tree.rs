//! The input: which files of a directory tree are indexed.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Larger files are left out: one of them would be most of the demo's time.
pub const FILE_SIZE_MAX: u64 = 16 << 20;

/// What a walk has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Path below the input directory, and size.
    pub files: Vec<(PathBuf, u64)>,
    /// Directories and files that could not be looked at.
    pub unreadable: u64,
}

impl Tree {
    /// Walks `input`: its first `files_max` regular files, in the order of their names, links not followed.
    pub fn walk(input: &Path, files_max: usize) -> Tree {
        let mut tree = Tree::default();
        for found in WalkDir::new(input).follow_links(false).sort_by_file_name() {
            if tree.files.len() == files_max {
                break;
            }
            let file = found.and_then(|entry| Ok((entry.metadata()?, entry)));
            match file {
                Ok((meta, entry)) if meta.is_file() && meta.len() <= FILE_SIZE_MAX => {
                    let below = entry.path().strip_prefix(input).unwrap_or(entry.path());
                    tree.files.push((below.to_owned(), meta.len()));
                }
                Ok(_) => {}
                Err(_) => tree.unreadable += 1,
            }
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_files_in_the_order_of_their_names_are_found_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("b/c")).unwrap();
        std::fs::create_dir(at("a")).unwrap();
        for name in ["b/c/2", "b/1", "a/9", "z", "a.txt"] {
            std::fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink(at("z"), at("0link")).unwrap();
        let names = |max| Tree::walk(dir.path(), max).files.into_iter().map(|(p, _)| p.display().to_string()).collect::<Vec<_>>();
        assert_eq!(names(100), ["a/9", "a.txt", "b/1", "b/c/2", "z"]);
        assert_eq!(names(3), ["a/9", "a.txt", "b/1"]);
    }
}
