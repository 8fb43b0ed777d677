//! Lines of the timeline, as short as one can read them: keys as `node:proc#epoch.counter`, names without their wrapping, no descriptors.

/// The same line, shorter.
pub fn brief(line: &str) -> String {
    let mut out = String::with_capacity(line.len() / 2);
    let mut rest = line;
    while !rest.is_empty() {
        let (short, after) = next(rest);
        out.push_str(&short);
        rest = after;
    }
    out
}

/// The next piece and what comes behind it.
fn next(rest: &str) -> (String, &str) {
    if let Some(inside) = rest.strip_prefix("Key { node: NodeId(")
        && let Some((inside, after)) = inside.split_once(") }")
    {
        let numbers: Vec<u64> = inside.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        if let [node, process, inc] = numbers[..] {
            return (format!("{node}:{process}#{}.{}", inc >> 32, inc & 0xffff_ffff), after);
        }
    }
    if rest.starts_with("descriptor: Descriptor {")
        && let Some(end) = end_of_braces(rest)
    {
        return (String::new(), rest[end..].trim_start_matches(", "));
    }
    for (wrapped, mark) in
        [("Name(\"", "\")"), ("NodeId(", ")"), ("ProcId(", ")"), ("InstrumentId(", ")"), ("Stamp(", ")"), ("OutageId(", ")")]
    {
        if let Some((inside, after)) = rest.strip_prefix(wrapped).and_then(|r| r.split_once(mark)) {
            return (inside.to_owned(), after);
        }
    }
    let end = rest.char_indices().skip(1).find(|(_, c)| c.is_ascii_uppercase() || *c == 'd').map_or(rest.len(), |(at, _)| at);
    (rest[..end].to_owned(), &rest[end..])
}

fn end_of_braces(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_names_are_short_and_descriptors_are_left_out() {
        let line = "→ A { key: Key { node: NodeId(2), proc: ProcId(5), inc: Incarnation(17179869185) }, descriptor: Descriptor { kind: X { a: 1 } }, at: Name(\"cpu1\") }";
        assert_eq!(brief(line), "→ A { key: 2:5#4.1, at: cpu1 }");
    }
}
