//! The newest combination of what was found.

use indexmap::IndexMap;
use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use reconciler_domain::artifact::{Artifact, GitCommit, ImageVersion};
use reconciler_domain::id::SubscriptionName;
use reconciler_domain::warehouse::{
    Combination, Discovery, DiscoveryError, Source, newest_combination,
};

use crate::kit::world::start;
use crate::kit::{World, play};

/// Versions newest first; `!` before the first: this subscription changed last; `release` before a
/// version: a commit.
fn discovery(versions: &str) -> Discovery {
    let (late, versions) = match versions.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, versions),
    };
    let seen = if late { start() + SignedDuration::from_hours(1) } else { start() };
    let artifact = |version: &str| match version.strip_prefix("commit:") {
        Some(subject) => Artifact::Git(GitCommit {
            repo: "https://git.example/infra".to_owned(),
            branch: "main".to_owned(),
            commit: format!("{subject:0>40}"),
            subject: subject.replace('-', " "),
            author: "Ann <ann@example.com>".to_owned(),
            committed_at: start(),
        }),
        None => Artifact::Image(ImageVersion {
            repo: "registry.example/x".to_owned(),
            tag: version.to_owned(),
            digest: format!("sha256:{version}"),
            created_at: None,
        }),
    };
    Discovery {
        versions: versions.split_whitespace().map(artifact).collect(),
        newest_seen_at: Some(seen),
        looked_at: Some(seen),
        error: None,
    }
}

fn chosen(require: &str, found: &[(&str, &str)]) -> String {
    let mut world = World::new();
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    let require = if require.is_empty() { String::new() } else { format!("require {require}") };
    play(&mut world, &format!("warehouse shop {} {require}", names.join(" "))).expect("no crash");
    let discovered: IndexMap<_, _> = found
        .iter()
        .map(|(name, versions)| (name.parse().expect("a name"), discovery(versions)))
        .collect();
    match newest_combination(world.warehouse("shop"), &discovered) {
        Combination::Found(artifacts) => {
            let parts: Vec<String> = artifacts
                .iter()
                .map(|(name, artifact)| match artifact {
                    Artifact::Git(git) => format!("{name} {}", git.subject),
                    Artifact::Image(image) => format!("{name} {}", image.tag),
                })
                .collect();
            parts.join(", ")
        }
        Combination::Incomplete { missing } => {
            let names: Vec<&str> = missing.iter().map(SubscriptionName::as_str).collect();
            format!("incomplete: {}", names.join(", "))
        }
        Combination::Unsatisfied { judged, bounded } => {
            format!("unsatisfied after {judged}{}", if bounded { ", bounded" } else { "" })
        }
        Combination::Refused { message } => format!("refused: {message}"),
    }
}

const SAME_MAJOR: &str = "freight.api.version.major == freight.infra.version.major";

#[test]
fn without_a_requirement_the_newest_of_each_go_together() {
    assert_eq!(chosen("", &[("api", "2.0.0 1.0.0"), ("infra", "1.1.0")]), "api 2.0.0, infra 1.1.0");
}

#[test]
fn a_requirement_is_searched_across_subscriptions() {
    let check = |api: &str, infra: &str, expect: &str| {
        assert_eq!(
            chosen(SAME_MAJOR, &[("api", api), ("infra", infra)]),
            expect,
            "{api} / {infra}"
        );
    };
    check("2.0.0 1.9.0", "2.1.0 1.0.0", "api 2.0.0, infra 2.1.0");
    check("2.0.0 1.9.0 1.8.0", "1.1.0 1.0.0", "api 1.9.0, infra 1.1.0");
    check("3.0.0", "2.1.0 1.0.0", "unsatisfied after 2");
    check("", "2.1.0", "incomplete: api");
    // Two steps back on one side are as far as one on each: what changed last decides.
    check("4.0.0 3.0.0 2.0.0", "9.0.0 3.0.0 4.0.0", "api 4.0.0, infra 4.0.0");
    check("!4.0.0 3.0.0 2.0.0", "9.0.0 3.0.0 4.0.0", "api 4.0.0, infra 4.0.0");
    check("4.0.0 3.0.0 2.0.0", "!9.0.0 3.0.0 4.0.0", "api 3.0.0, infra 3.0.0");
}

#[test]
fn the_newest_of_what_changed_last_is_kept_where_it_can_be() {
    let either = "freight.api.version.minor + freight.infra.version.minor == 1";
    let check = |api: &str, infra: &str, expect: &str| {
        assert_eq!(chosen(either, &[("api", api), ("infra", infra)]), expect);
    };
    check("!1.1.0 1.0.0", "2.1.0 2.0.0", "api 1.1.0, infra 2.0.0");
    check("1.1.0 1.0.0", "!2.1.0 2.0.0", "api 1.0.0, infra 2.1.0");
}

#[test]
fn a_combination_that_cannot_be_judged_is_passed_over() {
    let check = |infra: &str, expect: &str| {
        assert_eq!(chosen(SAME_MAJOR, &[("api", "1.0.0"), ("infra", infra)]), expect, "{infra}");
    };
    check("commit:fix-it commit:release-1.2.0", "api 1.0.0, infra release 1.2.0");
    check(
        "commit:fix-it commit:release-2.0.0",
        "refused: `freight.api.version.major == freight.infra.version.major`: there is no `version`",
    );
    let neither = chosen("freight.api.tag", &[("api", "1.0.0")]);
    assert_eq!(
        neither,
        "refused: `freight.api.tag`: a condition must be true or false, this is a text"
    );
    assert!(chosen("freight.api.", &[("api", "1.0.0")]).starts_with("refused: "));
}

#[test]
fn the_search_is_bounded_and_says_so() {
    let many: Vec<String> = (0..50).map(|n| format!("1.0.{n}")).collect();
    let many = many.join(" ");
    let found = [("a", many.as_str()), ("b", many.as_str()), ("c", many.as_str())];
    assert_eq!(chosen("freight.a.version.major == 2", &found), "unsatisfied after 2000, bounded");
    let found = [("a", many.as_str()), ("b", "1.0.0")];
    assert_eq!(chosen("freight.a.version.major == 2", &found), "unsatisfied after 50");
    assert_eq!(chosen("freight.a.version.patch == 49", &found), "a 1.0.49, b 1.0.0");
}

#[test]
fn one_failing_subscription_does_not_erase_what_it_found_before() {
    let mut world = World::new();
    play(
        &mut world,
        "
        warehouse shop api infra
        found shop api 1.0.0
    ",
    )
    .expect("no crash");
    let name = "shop".parse().expect("a warehouse");
    let lines = |world: &World| {
        let plan = reconciler_domain::plan::warehouse(&world.warehouse_snapshot(&name), world.now);
        let waiting = plan
            .waiting
            .iter()
            .map(|w| format!("{}: {}: {}{}", w.subject, w.reason, w.message, until(w.until)));
        let mut lines: Vec<String> = waiting.collect();
        lines.push(format!("{} acts, wakes at {}", plan.acts.len(), plan.wake_at));
        lines.join("\n")
    };
    let fail = |world: &mut World, failures, retry_at| {
        let now = world.now;
        let found = world.discovered.get_mut(&name).expect("it was looked at");
        let infra = found.entry("infra".parse().expect("a name")).or_default();
        let message = "registry.example does not answer".to_owned();
        infra.looked_at = Some(now);
        infra.error = Some(DiscoveryError { message, failures, retry_at });
    };
    fail(&mut world, 1, None);
    assert_snapshot!(lines(&world), @r"
    subscription infra: DiscoveryFailed: registry.example does not answer [2026-01-01T00:00:10Z]
    warehouse shop: Incomplete: no version found yet for infra
    0 acts, wakes at 2026-01-01T00:00:10Z
    ");
    play(&mut world, "found shop infra 3.0.0").expect("no crash");
    fail(&mut world, 3, Some(start() + SignedDuration::from_hours(2)));
    play(&mut world, "found shop api 1.1.0").expect("no crash");
    assert_snapshot!(lines(&world), @r"
    subscription infra: DiscoveryFailed: registry.example does not answer [2026-01-01T02:00:00Z]
    0 acts, wakes at 2026-01-01T02:00:00Z
    ");
    assert_snapshot!(world.story.join("\n"), @r"
    f1 is made: api 1.0.0, infra 3.0.0
    f2 is made: api 1.1.0, infra 3.0.0
    ");
}

fn until(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| format!(" [{at}]"))
}

#[test]
fn a_source_is_looked_at_when_its_time_has_come() {
    let mut world = World::new();
    play(&mut world, "warehouse shop api\nfound shop api 1.0.0").expect("no crash");
    let name = "shop".parse().expect("a warehouse");
    let mut snapshot = world.warehouse_snapshot(&name);
    let hour = SignedDuration::from_hours(1);
    snapshot.warehouse.spec.interval = std::time::Duration::from_secs(3600);
    let due = |snapshot: &_, now| {
        let plan = reconciler_domain::plan::warehouse(snapshot, now);
        (plan.acts.len(), plan.wake_at)
    };
    assert_eq!(due(&snapshot, start()), (0, start() + hour));
    assert_eq!(due(&snapshot, start() + hour), (1, start() + hour), "the interval is over");
    snapshot.refresh_asked_at = Some(start());
    assert_eq!(due(&snapshot, start()).0, 1, "someone asked");
    snapshot.refresh_asked_at = None;
    snapshot.warehouse.changed_at = start() + SignedDuration::from_secs(1);
    assert_eq!(due(&snapshot, start() + hour / 2).0, 1, "it was defined anew");
    // The clock was put back: it is looked at once, and then in its own time, whatever is written of later.
    let before = start() - hour;
    snapshot.refresh_asked_at = Some(start());
    assert_eq!(due(&snapshot, before).0, 1, "nobody knows how old that look is");
    for found in snapshot.discovered.values_mut() {
        found.looked_at = Some(before);
    }
    assert_eq!(due(&snapshot, before), (0, start()));
    assert!(matches!(
        snapshot.warehouse.spec.subscriptions.values().next(),
        Some(Source::Image(_))
    ));
}
