//! What a person's address means.

use super::*;
use crate::model::{Incarnation, Kind, NodeId, ProcId, ValueType};

/// Instruments `name{dims}` of sources, bound in this order.
fn table(all: &[(&str, &str)]) -> Table {
    let mut table = Table::default();
    for (n, (record, source)) in all.iter().enumerate() {
        let Address { name, dims, .. } = record.parse().unwrap();
        let path = name.as_str().split_once('.').unwrap().1.parse().unwrap();
        let descriptor = Arc::new(Descriptor::bare(path, Kind::Gauge, ValueType::U64));
        let key = Key { node: NodeId(1), proc: ProcId(7), inc: Incarnation::new(1, 5) };
        table.bind(&source.parse().unwrap(), name, dims, descriptor, key, Slot(n as u32));
    }
    table
}

fn check(table: &Table, text: &str, expect: Result<&str, Refusal>) {
    let got = table.resolve(text, |i, at| *at == i.source).map(|id| table.find(id).unwrap().address());
    assert_eq!(got, expect.map(str::to_owned), "{text}");
}

fn not_found(name: &str, nearest: &[&str]) -> Refusal {
    Refusal::NotFound { name: name.into(), nearest: nearest.iter().map(ToString::to_string).collect() }
}

fn ambiguous(name: &str, candidates: &[&str]) -> Refusal {
    Refusal::Ambiguous { name: name.into(), candidates: candidates.iter().map(ToString::to_string).collect() }
}

// spec: INS-5
#[test]
fn an_address_means_what_is_listed_under_it() {
    let table = table(&[("shop.batch", "alone"), ("shop.batch", "other"), ("shop.batch", "shop"), ("shop.limit", "alone")]);
    check(&table, "shop.batch", Ok("shop.batch"));
    check(&table, "shop.batch@shop", Ok("shop.batch"));
    check(&table, "shop.batch@alone", Ok("shop.batch@alone"));
    check(&table, "shop.limit", Ok("shop.limit@alone"));
    check(&table, "shop.batch{a=b}", Err(not_found("shop.batch{a=b}", &["shop.batch@alone", "shop.batch@other", "shop.batch"])));
    check(&table, "shop.batch@nowhere", Err(not_found("shop.batch@nowhere", &["shop.batch@alone", "shop.batch@other", "shop.batch"])));
    check(&table, "shop.limt", Err(not_found("shop.limt", &["shop.limit@alone"])));
}

// spec: INS-5
#[test]
fn dimensions_that_are_missing_are_asked_for_and_ones_that_are_not_there_are_not_found() {
    let all = ["a.load{shard=1,tier=x}", "a.load{shard=1,tier=y}", "a.load{shard=2,tier=x}", "a.size{shard=1,tier=x}"].map(|r| (r, "a"));
    let table = table(&all);
    check(&table, "a.load{tier=x,shard=2}", Ok("a.load{shard=2,tier=x}"));
    check(&table, "a.load{shard=1}", Err(ambiguous("a.load{shard=1}", &["a.load{shard=1,tier=x}", "a.load{shard=1,tier=y}"])));
    check(&table, "a.size{shard=1}", Err(not_found("a.size{shard=1}", &["a.size{shard=1,tier=x}"])));
    check(&table, "a.size", Err(not_found("a.size", &["a.size{shard=1,tier=x}"])));
    let near = ["a.load{shard=2,tier=x}", "a.load{shard=1,tier=x}", "a.load{shard=1,tier=y}"];
    check(&table, "a.load{shard=2,tier=z}", Err(not_found("a.load{shard=2,tier=z}", &near)));
}

// spec: PSM-7
#[test]
fn another_life_of_a_process_is_not_the_present_one() {
    let table = table(&[("shop.batch", "alone")]);
    check(&table, "shop.batch@alone#1.5", Ok("shop.batch@alone"));
    let current = Key { node: NodeId(1), proc: ProcId(7), inc: Incarnation::new(1, 5) };
    let got = Key { inc: Incarnation::new(1, 4), ..current };
    check(&table, "shop.batch@alone#1.4", Err(Refusal::StaleKey { got, current: Some(current) }));
}
