#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Conflict, FieldCode, FieldProblem, Problem, ProblemCode};
use crate::v1::Kind;

#[test]
fn a_problem_reads_as_the_rfc_has_it() {
    let problem = Problem::invalid(
        Kind::Stage,
        "prod",
        vec![
            FieldProblem::new(
                "requests[0].from[0]",
                FieldCode::UnknownUpstream,
                "there is no stage stagin",
            )
            .with_hint("did you mean staging?"),
        ],
    )
    .with_instance("req-1");
    insta::assert_snapshot!(serde_json::to_string_pretty(&problem).unwrap(), @r#"
    {
      "type": "https://lockstep.dev/errors/invalid",
      "code": "invalid",
      "title": "the request cannot stand",
      "status": 422,
      "detail": "stage prod has 1 error",
      "hint": null,
      "instance": "req-1",
      "errors": [
        {
          "path": "requests[0].from[0]",
          "code": "unknown_upstream",
          "message": "there is no stage stagin",
          "hint": "did you mean staging?"
        }
      ],
      "blockers": [],
      "conflict": null
    }
    "#);
    insta::assert_snapshot!(problem, @"stage prod has 1 error; requests[0].from[0]: there is no stage stagin");
}

#[test]
fn a_conflict_names_who_and_when() {
    let conflict = Conflict {
        generation: 8,
        changed_by: "ana".to_owned(),
        changed_at: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    let problem = Problem::generation_conflict(Kind::Policy, "shop/prod", 7, conflict);
    insta::assert_snapshot!(problem, @"policy shop/prod is at generation 8, not 7: ana changed it at 2026-01-02T03:04:05Z");
}

#[test]
fn blockers_are_sorted() {
    let problem = Problem::in_use(Kind::Stage, "shop/dev", vec!["qa".into(), "prod".into()]);
    assert_eq!(problem.blockers, ["prod", "qa"]);
    insta::assert_snapshot!(problem, @"stage shop/dev is used by prod, qa");
}

#[test]
fn every_code_round_trips_and_has_its_own_title() {
    let mut titles = std::collections::BTreeSet::new();
    for code in ProblemCode::ALL.iter().copied() {
        let text = serde_json::to_string(&code).unwrap();
        assert_eq!(serde_json::from_str::<ProblemCode>(&text).unwrap(), code);
        assert_eq!(code.as_str().parse(), Ok(code));
        assert!(titles.insert(code.title()), "{code} shares its title");
        assert!((400..600).contains(&code.status()), "{code}");
    }
}

#[test]
fn a_code_of_a_newer_daemon_is_still_a_problem() {
    let code: ProblemCode = serde_json::from_str("\"of_the_future\"").unwrap();
    assert_eq!(code, ProblemCode::Unknown);
}
