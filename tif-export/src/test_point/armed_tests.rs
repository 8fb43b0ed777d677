use super::*;
use tif_core::model::ValueType;

fn fields() -> Vec<Argument> {
    let field = |name: &str, value_type, choices: &[&str]| Argument {
        name: name.into(),
        value_type,
        choices: choices.iter().map(|c| (*c).to_owned()).collect(),
        range: None,
    };
    vec![field("size", ValueType::U64, &[]), field("mode", ValueType::Choice, &["fast", "safe"]), field("who", ValueType::Text, &[])]
}

fn arming(action: FaultAction) -> Arming {
    Arming {
        action,
        probability: 1.0,
        hits_max: None,
        expires_after: Duration::from_secs(10),
        conditions: Vec::new(),
        outlives_session: false,
    }
}

fn record(size: u64, mode: u32, who: &str) -> Vec<Value> {
    vec![Value::U64(size), Value::Choice(mode), Value::Text(who.into())]
}

const T0: Time = Time(5_000_000_000);
const SURE: u64 = 0;

fn is_hit(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Hit { .. })
}

// spec: TST-5
#[test]
fn it_expires_at_its_time_and_captures_nothing_then() {
    let mut armed = Armed::new(arming(FaultAction::Count), &fields(), T0).unwrap();
    assert!(is_hit(&armed.pass(T0 + Duration::from_nanos(9_999_999_999), SURE, || record(1, 0, ""))));
    assert_eq!(armed.pass(T0 + Duration::from_secs(10), SURE, || panic!("nobody looks")), Verdict::Expired);
    assert_eq!(armed.left(T0 + Duration::from_secs(4)), Duration::from_secs(6));
}

// spec: TST-1, TST-5
#[test]
fn it_says_which_hit_is_the_last() {
    let mut armed = Armed::new(Arming { hits_max: Some(2), ..arming(FaultAction::Fail) }, &fields(), T0).unwrap();
    let mut lasts = Vec::new();
    for _ in 0..2 {
        let Verdict::Hit { last, action, record: got } = armed.pass(T0, SURE, || record(7, 1, "x")) else { panic!("spared") };
        assert_eq!((action, got), (FaultAction::Fail, record(7, 1, "x")));
        lasts.push(last);
    }
    assert_eq!(lasts, [false, true]);
}

// spec: TST-1
#[test]
fn a_probability_spares_the_others_without_capturing_them() {
    let mut armed = Armed::new(Arming { probability: 0.25, ..arming(FaultAction::Count) }, &fields(), T0).unwrap();
    let quarter = u64::MAX / 4;
    assert!(is_hit(&armed.pass(T0, quarter - (1 << 12), || record(1, 0, ""))));
    assert_eq!(armed.pass(T0, quarter + (1 << 12), || panic!("nobody looks")), Verdict::Spared);
    let mut never = Armed::new(Arming { probability: 0.0, ..arming(FaultAction::Count) }, &fields(), T0).unwrap();
    assert_eq!(never.pass(T0, 0, || panic!("nobody looks")), Verdict::Spared);
    let mut always = Armed::new(arming(FaultAction::Count), &fields(), T0).unwrap();
    assert!(is_hit(&always.pass(T0, u64::MAX, || record(1, 0, ""))));
}

// spec: TST-1
#[test]
fn all_conditions_must_hold_and_spared_passes_do_not_count_as_hits() {
    let conditions = ["size>4096", "mode==safe", "who != root"].map(|c| c.parse().unwrap()).to_vec();
    let mut armed = Armed::new(Arming { conditions, hits_max: Some(1), ..arming(FaultAction::Count) }, &fields(), T0).unwrap();
    for spared in [record(4096, 1, "a"), record(4097, 0, "a"), record(4097, 1, "root")] {
        assert_eq!(armed.pass(T0, SURE, || spared), Verdict::Spared);
    }
    assert!(matches!(armed.pass(T0, SURE, || record(4097, 1, "a")), Verdict::Hit { last: true, .. }));
    assert_eq!(armed.to_string(), "count hits<=1 if size>4096, mode==safe, who!=root");
}

// spec: TST-1
#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    let check = |change: fn(&mut Arming), expect: &str| {
        let mut arming = arming(FaultAction::Count);
        change(&mut arming);
        let error = Armed::new(arming, &fields(), T0).unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    check(|a| a.probability = f64::NAN, "between 0 and 1");
    check(|a| a.probability = 1.5, "between 0 and 1");
    check(|a| a.hits_max = Some(0), "would never hit");
    check(|a| a.expires_after = Duration::ZERO, "at most");
    check(|a| a.expires_after = limits::ARM_EXPIRY_MAX + Duration::from_secs(1), "at most");
    check(|a| a.action = FaultAction::Delay(Duration::from_secs(61)), "a delay of 61s");
    check(|a| a.conditions = vec!["bytes>1".parse().unwrap()], "there are size, mode, who");
    check(|a| a.conditions = vec!["size>many".parse().unwrap()], "a whole number");
    check(|a| a.conditions = vec!["mode==slow".parse().unwrap()], "fast, safe");
}
