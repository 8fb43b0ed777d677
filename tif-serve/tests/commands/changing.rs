//! `set` and `confirm`: what reaches the agent, and what is told of it.

use super::*;

#[test]
fn negative_values_and_flags_in_any_order_are_understood() {
    let (ran, asked) = with("set -- demo.name --dry-rum", zoo);
    assert!(ran.exit == Exit::Done && matches!(&asked[0], ToAgent::Set { settings, .. } if settings[0].value == "--dry-rum"), "{asked:?}");
    for line in
        ["set demo.workers -5", "set demo.workers -5 --dry-run", "set --dry-run demo.workers -5", "set demo.workers -1.5e3 --reason x"]
    {
        let (ran, asked) = with(line, zoo);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
        let Some(ToAgent::Set { settings, admission, .. }) = asked.first() else { panic!("{asked:?}") };
        assert!(settings[0].value.starts_with('-') && admission.dry_run == line.contains("--dry-run"));
    }
}

// spec: CTL-6
#[test]
fn several_controls_are_asked_for_in_one_step_and_each_is_told() {
    let (ran, asked) = with("set demo.workers=5 'demo.shard{id=3}=a=b'", zoo);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    let Some(ToAgent::Set { settings, .. }) = asked.first() else { panic!("{asked:?}") };
    assert_eq!(*settings, [Setting::new("demo.workers", "5"), Setting::new("demo.shard{id=3}", "a=b")]);
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    let (_, asked) = with("set 'demo.shard{id=3}' 7", zoo);
    assert!(matches!(asked.first(), Some(ToAgent::Set { settings, .. }) if *settings == [Setting::new("demo.shard{id=3}", "7")]));
}

// spec: CTL-6
#[test]
fn on_what_terms_a_change_stays_reaches_the_agent_and_is_told() {
    let (ran, asked) = with("set demo.workers 5 --confirm-within 3s --guard demo.rate{shard=1}=-2.5..", zoo);
    assert!(ran.out.contains("to be confirmed within 3s: tif-serve confirm 'demo.workers'"), "{}", ran.out);
    let Some(ToAgent::Set { keep: Some(keep), .. }) = asked.first() else { panic!("{asked:?}") };
    let guard = Guard { indicator: "demo.rate{shard=1}".into(), low: Number::Float(-2.5), high: Number::Float(f64::INFINITY) };
    assert_eq!(*keep, KeepAsked { within: Duration::from_secs(3), guard: Some(guard), while_connected: false });
    let ran = with("set demo.workers 5 --confirm-within 3s --output jsonl", zoo).0;
    assert!(ran.out.contains("\"confirm_within_ms\":3000"), "{}", ran.out);
    let (ran, asked) = with("confirm demo.workers --request-id k1", zoo);
    assert!(ran.exit == Exit::Done && ran.out.contains("the change k1 stays"), "{}", ran.out);
    assert!(matches!(asked.first(), Some(ToAgent::Confirm { name, request_id: Some(_), .. }) if name == "demo.workers"), "{asked:?}");
}

// spec: CTL-6
#[test]
fn a_command_that_holds_a_change_ends_with_its_end() {
    for (end, exit, words) in
        [(End::Confirmed, Exit::Done, "was confirmed"), (End::Reverted(Cause::GuardLeft), Exit::False, "its guard left")]
    {
        let answer = move |message: &ToAgent| {
            let mut answers = zoo(message);
            if let ToAgent::Set { request_id, .. } = message {
                answers.push(ToProcess::Settled { request_id: request_id.clone(), end });
            }
            answers
        };
        let (ran, asked) = with("set demo.workers 5 --while-connected", answer);
        assert!(ran.exit == exit && ran.err.contains(words), "{}", ran.err);
        assert!(matches!(asked.first(), Some(ToAgent::Set { keep: Some(keep), .. }) if keep.while_connected), "{asked:?}");
    }
    // Made by another connection: it does not wait for what it cannot hold, and does not say that it does.
    let repeated = |message: &ToAgent| match zoo(message).as_slice() {
        [ToProcess::SetDone { req, result }] => {
            vec![ToProcess::SetDone { req: *req, result: SetResult { repeated: true, ..result.clone() } }]
        }
        other => other.to_vec(),
    };
    let ran = with("set demo.workers 5 --while-connected --request-id k1", repeated).0;
    assert!(ran.exit == Exit::False && ran.err.contains("k1 is not held by this command"), "{}", ran.err);
}

// spec: CTL-3, CTL-5
#[test]
fn what_the_flags_of_set_say_reaches_the_agent() {
    let (_, asked) = with("set demo.workers 5 --request-id r-1 --if-version 2 --reason 'too slow'", zoo);
    let Some(ToAgent::Set { request_id, settings, reason, .. }) = asked.first() else { panic!("{asked:?}") };
    assert_eq!(*request_id, RequestId::try_from("r-1".to_owned()).unwrap());
    assert_eq!((settings[0].if_version, reason.as_deref()), (Some(Version(2)), Some("too slow")));
    let (_, asked) = with("arm demo.x fail --where size>4096 --where name==a --outlive --for 2min", zoo);
    let Some(ToAgent::Arm { arming, .. }) = asked.first() else { panic!("{asked:?}") };
    assert!(arming.outlives_session && arming.expires_after.as_secs() == 120 && arming.conditions.len() == 2);
    assert_eq!(arming.conditions[1].comparison, Comparison::Equal);
}
