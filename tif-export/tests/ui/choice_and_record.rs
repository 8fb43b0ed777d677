use tif::{Choice, Record};

#[derive(Clone, Copy, Choice)]
enum WithFields {
    Plain,
    With(u32),
}

#[derive(Clone, Copy, Choice)]
enum Same {
    ReadOnly,
    #[tif(name = "read-only")]
    Other,
}

#[derive(Clone, Copy, Choice)]
enum Empty {}

#[derive(Clone, Copy, Choice)]
struct NotAnEnum;

#[derive(Record)]
#[tif(error = "MyError", eror = 1)]
struct Commit {
    size: Vec<u8>,
}

#[derive(Record)]
struct Borrowed<'a> {
    who: &'a str,
}

#[derive(Record)]
struct Tuple(u32);

fn main() {}
