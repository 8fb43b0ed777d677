//! The same job done once more in the plainest way, by other means and with one thread: what the index should say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::service::{Contents, Entry, FILE_SIZE_MAX};

/// How an index differs from a plain walk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Files that are in both and agree.
    pub same: u64,
    /// Files that the index does not have.
    pub missing: Vec<PathBuf>,
    /// Files that only the index has.
    pub surplus: Vec<PathBuf>,
    /// Files of which the two say different things.
    pub different: Vec<PathBuf>,
    /// How often a file was entered that was there already.
    pub twice: u64,
}

impl Comparison {
    /// Compares an index with the first `files_max` files below `input`.
    pub fn make(index: &Contents, input: &Path, files_max: usize) -> Comparison {
        let mut walked = BTreeMap::new();
        walk(input, Path::new(""), files_max, &mut walked);
        let mut comparison = Comparison { twice: index.repeated, ..Comparison::default() };
        for (path, entry) in &walked {
            match index.entries.get(path) {
                None => comparison.missing.push(path.clone()),
                Some(indexed) if indexed == entry => comparison.same += 1,
                Some(_) => comparison.different.push(path.clone()),
            }
        }
        comparison.surplus = index.entries.keys().filter(|p| !walked.contains_key(*p)).cloned().collect();
        comparison
    }

    /// Nothing is missing, nothing is there twice, nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty() && self.different.is_empty() && self.twice == 0
    }
}

fn walk(input: &Path, below: &Path, files_max: usize, found: &mut BTreeMap<PathBuf, Entry>) {
    let Ok(listing) = std::fs::read_dir(input.join(below)) else { return };
    let mut names: Vec<_> = listing.filter_map(|entry| Some((entry.as_ref().ok()?.file_name(), entry.ok()?.file_type().ok()?))).collect();
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, file_type) in names {
        if found.len() == files_max {
            return;
        }
        let path = below.join(name);
        if file_type.is_dir() {
            walk(input, &path, files_max, found);
        } else if file_type.is_file()
            && let Ok(meta) = input.join(&path).symlink_metadata()
            && meta.len() <= FILE_SIZE_MAX
        {
            let entry = match std::fs::read(input.join(&path)) {
                Ok(content) => Entry { size: content.len() as u64, hash: Some(blake3::hash(&content).into()) },
                Err(_) => Entry { size: meta.len(), hash: None },
            };
            found.insert(path, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        for name in ["d/same", "different", "missing"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let mut index = Contents::default();
        index.repeated = 2;
        index.entries.insert("d/same".into(), Entry { size: 6, hash: Some(blake3::hash(b"d/same").into()) });
        index.entries.insert("different".into(), Entry { size: 9, hash: None });
        index.entries.insert("surplus".into(), Entry { size: 0, hash: None });
        let comparison = Comparison::make(&index, dir.path(), 100);
        assert!(!comparison.is_clean());
        let one = |name: &str| vec![PathBuf::from(name)];
        assert_eq!(
            comparison,
            Comparison { same: 1, missing: one("missing"), surplus: one("surplus"), different: one("different"), twice: 2 }
        );
    }

    #[test]
    fn an_index_that_says_what_the_walk_says_is_clean() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        let mut index = Contents::default();
        index.entries.insert("a".into(), Entry { size: 1, hash: Some(blake3::hash(b"x").into()) });
        assert!(Comparison::make(&index, dir.path(), 100).is_clean());
    }
}
