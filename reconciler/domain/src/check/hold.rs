//! Checks of holds.

use super::{Problem, ProblemKind, Surroundings, unknown};
use crate::hold::{ArtifactMatch, Hold, Target};

/// Checks a hold with the rest of the project at hand.
#[must_use]
pub fn check_hold(hold: &Hold, around: &Surroundings<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if hold.reason.trim().is_empty() {
        let message = "a hold says why, to whoever it stops";
        problems.push(Problem::new("reason", ProblemKind::Missing, message));
    }
    match &hold.target {
        Target::Stage(stage) => {
            let known: Vec<&str> = around.stages.keys().map(|name| name.as_str()).collect();
            unknown("stage", stage.as_str(), &known, "stage".to_owned(), &mut problems);
        }
        Target::Freight(_) => {}
        Target::Artifacts(artifacts) => check_artifacts(artifacts, &mut problems),
    }
    problems
}

fn check_artifacts(artifacts: &ArtifactMatch, problems: &mut Vec<Problem>) {
    if artifacts.is_empty() {
        let message = "say which artifacts: without that the hold would stop every freight";
        problems.push(Problem::new("artifacts", ProblemKind::Missing, message));
    }
    let mut conflict = |path: &str, message: &str| {
        problems.push(Problem::new(format!("artifacts.{path}"), ProblemKind::Conflict, message));
    };
    let of_commits = artifacts.commit.is_some()
        || artifacts.committed_from.is_some()
        || artifacts.committed_until.is_some();
    if artifacts.digest.is_some() && of_commits {
        conflict("digest", "an image has a digest, a commit has none: no artifact can match both");
    }
    if let (Some(from), Some(until)) = (artifacts.committed_from, artifacts.committed_until)
        && from > until
    {
        conflict("committed_until", "it is before `committed_from`: no commit can match");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, expect: &[&str]) {
        let target: Target = serde_json::from_str(target).expect("a target");
        let name = "cve".parse().expect("a name");
        let hold = Hold { name, target, reason: " ".to_owned(), expires: None };
        let problems = check_hold(&hold, &Surroundings::default());
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told[0], "reason: a hold says why, to whoever it stops");
        assert_eq!(told[1..], *expect);
    }

    #[test]
    fn a_hold_must_be_able_to_stop_something() {
        check(
            r#"{ "kind": "stage", "of": "prod" }"#,
            &["stage: there is no stage \"prod\"; there is none yet"],
        );
        check(
            r#"{ "kind": "artifacts", "of": {} }"#,
            &["artifacts: say which artifacts: without that the hold would stop every freight"],
        );
        check(r#"{ "kind": "artifacts", "of": { "subscription": "api" } }"#, &[]);
        check(
            r#"{ "kind": "artifacts", "of": {
                "digest": "sha256:aa", "commit": "1a2b3c4",
                "committed_from": "2026-01-02T00:00:00Z", "committed_until": "2026-01-01T00:00:00Z"
            } }"#,
            &[
                "artifacts.digest: an image has a digest, a commit has none: no artifact can match \
                 both",
                "artifacts.committed_until: it is before `committed_from`: no commit can match",
            ],
        );
    }
}
