//! Every number of `docs/spec.md` that is built is cited by code and by a test, and no citation names a number that does not exist.
//!
//! A citation is a line comment of the form "spec", a colon, and numbers with commas between. It counts for a test when a `#[test]` follows
//! before the next item, or when the file lies in a `tests` folder; otherwise for code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the last section of the specification says of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Built {
    Whole,
    InPart,
    Not,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}

fn is_number(text: &str) -> bool {
    matches!(text.split_once('-'), Some((area, n))
        if area.len() == 3 && area.bytes().all(|b| b.is_ascii_uppercase()) && n.bytes().next().is_some_and(|b| b.is_ascii_digit()))
}

/// `GRP-1 to GRP-4, GRP-6` as single numbers.
fn expand(cell: &str) -> Vec<String> {
    let mut all = Vec::new();
    for part in cell.split(',').map(str::trim) {
        match part.split_once(" to ") {
            Some((first, last)) => {
                let ((area, from), (_, to)) = (first.split_once('-').expect("a number"), last.split_once('-').expect("a number"));
                let (from, to): (u32, u32) = (from.parse().expect("a number"), to.parse().expect("a number"));
                all.extend((from..=to).map(|n| format!("{area}-{n}")));
            }
            None if is_number(part) => all.push(part.to_owned()),
            None => {}
        }
    }
    all
}

fn specification() -> BTreeMap<String, Built> {
    let text = fs::read_to_string(root().join("docs/spec.md")).expect("docs/spec.md is there");
    let (sentences, unbuilt) = text.split_once("Not built yet\n").expect("the last section lists what is not built");
    let mut all: BTreeMap<String, Built> = sentences
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| is_number(word))
        .map(|number| (number.to_owned(), Built::Whole))
        .collect();
    for line in unbuilt.lines().filter(|l| l.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        for number in expand(cells[1]) {
            let state = all.get_mut(&number).unwrap_or_else(|| panic!("{number} is listed as not built but is no number"));
            *state = if cells[2].starts_with("in part") { Built::InPart } else { Built::Not };
        }
    }
    assert!(all.len() > 80, "the specification has {} numbers", all.len());
    all
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The cited numbers of one file: number, line, whether a test follows.
fn citations(path: &Path) -> Vec<(String, usize, bool)> {
    let text = fs::read_to_string(path).expect("a source file");
    let lines: Vec<&str> = text.lines().collect();
    let in_tests = path.strip_prefix(root()).expect("within the workspace").components().any(|c| c.as_os_str() == "tests");
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(numbers) = line.trim_start().strip_prefix("// spec: ") else { continue };
        let test_follows = lines[at + 1..]
            .iter()
            .take_while(|l| {
                let l = l.trim_start();
                l.starts_with("//") || l.starts_with("#[")
            })
            .any(|l| l.trim_start().starts_with("#[test]"));
        for number in numbers.split(',').map(str::trim) {
            found.push((number.to_owned(), at + 1, in_tests || test_follows));
        }
    }
    found
}

#[test]
fn every_number_that_is_built_is_cited_by_code_and_by_a_test() {
    let specification = specification();
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let (mut in_code, mut in_tests, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for file in files {
        for (number, line, is_test) in citations(&file) {
            if !specification.contains_key(&number) {
                wrong.push(format!("{}:{line} cites {number}, which docs/spec.md does not have", file.display()));
            } else if is_test {
                in_tests.insert(number);
            } else {
                in_code.insert(number);
            }
        }
    }
    for (number, built) in &specification {
        if *built == Built::Not {
            continue;
        }
        if !in_code.contains(number) {
            wrong.push(format!(
                "{number} is cited by no code: write `// spec: {number}` above the line that obeys it, or list it as not built"
            ));
        }
        if !in_tests.contains(number) {
            wrong.push(format!("{number} is cited by no test: write `// spec: {number}` above the test that proves it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
