//! `terraform validate`: mistakes are told at their attribute, without a daemon.

use crate::terraform::Terraform;

#[track_caller]
fn check(config: &str, expected: &[&str]) {
    let told = Terraform::new(config).validate();
    let fits = told.len() == expected.len()
        && expected.iter().all(|expected| told.iter().any(|told| told.contains(expected)));
    assert!(fits, "{config}\nshould tell\n{expected:#?}\nand tells\n{told:#?}");
}

/// A stage with these steps.
fn stage(steps: &str) -> String {
    format!(
        r#"
        resource "lockstep_stage" "dev" {{
          name  = "dev"
          vars  = {{ region = "eu" }}
          steps = [
            {steps}
          ]
          request {{ warehouse = "shop" }}
        }}
        "#
    )
}

#[test]
fn a_whole_pipeline_is_valid() {
    check(include_str!("pipeline.tf"), &[]);
}

#[test]
fn bad_texts_of_a_warehouse() {
    check(
        r#"
        resource "lockstep_warehouse" "shop" {
          name     = "Shop!"
          interval = "soon"
          git {
            name          = "infra"
            repo          = "shop"
            branch        = "main"
            include_paths = ["modules/", "regex:("]
          }
          image {
            name       = "infra"
            repo       = "example.com/api:1"
            constraint = "=~1"
            allow_tags = ["["]
          }
          freight {
            require = "freight.infra.digst == 'x'"
          }
        }
        "#,
        &[
            r#"error at `name = "Shop!"`: Invalid value: "Shop!" is not a warehouse name"#,
            r#"error at `interval = "soon"`: Invalid value: `soon` is not a duration"#,
            r#"error at `repo = "shop"`: Invalid value: "shop" is not the address of a git"#,
            r#"at `include_paths = ["modules/", "regex:("]`: Invalid value: Element 1: `regex:(`"#,
            r#"error at `name = "infra"`: Duplicate name"#,
            r#"at `repo = "example.com/api:1"`: Invalid value"#,
            r#"at `constraint = "=~1"`: Invalid value: `=~1` is not a version range"#,
            r#"at `allow_tags = ["["]`: Invalid value"#,
            r#"Invalid condition: `freight.infra` has no field `digst`, did you mean `digest`?"#,
        ],
    );
}

#[test]
fn bad_texts_of_tickets_and_attestations() {
    check(
        r#"
        resource "lockstep_promotion_policy" "prod" {
          name = "prod"
          mode = "automatic"
          stages { names = ["prod"] }
          ticket {
            name    = "change"
            url     = "changes.example.com/{{ vars.ticket"
            success = "response.json."
          }
          attestation {
            name     = "scan"
            artifact = "api"
            url      = "https://scans.example.com"
            key      = "none"
            success  = "payload.ok"
          }
          attestation {
            name    = "nowhere"
            success = "payload.ok"
          }
          attestation {
            name     = "built"
            artifact = "api"
            success  = "payload.ok"
          }
        }
        "#,
        &[
            "Mode automatic has no gates",
            "Mode automatic has no gates",
            r#"error at `url = "changes.example.com/{{ vars.ticket"`: Invalid value"#,
            r#"error at `success = "response.json."`: Invalid value"#,
            r#"Conflicting attributes: It is attached to an artifact or found at a url, not both."#,
            r#"error at `key = "none"`: Invalid value: It is no public key in PEM"#,
            r#"Missing attribute: Set `artifact`, to which it is attached, or `url`."#,
            r#"Missing attribute: Set `type`: the artifact type, or the type of the predicate."#,
        ],
    );
}

#[test]
fn a_warehouse_needs_a_subscription() {
    check(
        r#"resource "lockstep_warehouse" "shop" { name = "shop" }"#,
        &["Missing subscription: A warehouse needs at least one `git` or `image` block."],
    );
}

#[test]
fn a_misspelt_gate_is_an_error_and_no_hole() {
    check(
        r#"
        resource "lockstep_promotion_policy" "prod" {
          name = "prod"
          mode = "gated"
          stages { names = ["prod*"] }
          aproval { group = "sre" }
        }
        "#,
        &["Unsupported block type: Blocks of type \"aproval\" are not expected here. Did you mean"],
    );
    check(
        r#"
        resource "lockstep_promotion_policy" "prod" {
          name = "prod"
          mode = "gated"
          stages { names = ["prod*"] }
          bypass {
            name   = "fire"
            groups = ["oncall"]
            gates  = ["sok"]
          }
          bypass {
            name   = "nobody"
            groups = []
            gates  = ["soak"]
          }
          infra {}
          rollback { on = [] }
        }
        "#,
        &[
            r#"at `gates = ["sok"]`: Invalid value: Element 0: "sok" is none of the allowed words"#,
            r#"at `groups = []`: Empty list: A right that nobody has skips nothing."#,
            "No rule: Set `forbid`, `protect`, `max_changes`, `max_deletes`, a limit of cost, `on_drift` or a `rule`",
            r#"Empty list: Name what sets it off"#,
        ],
    );
}

#[test]
fn infra_rules_see_plans() {
    check(
        r#"
        resource "lockstep_promotion_policy" "prod" {
          project = "shop"
          name    = "prod"
          mode    = "gated"
          stages { names = ["prod"] }
          infra {
            rule {
              name = "good"
              when = "changes.all(c, c.type != 'aws_iam_role') && summary.delete < 3"
            }
            rule {
              name = "misspelt"
              when = "changes.all(c, c.tpye != 'aws_iam_role')"
            }
            rule {
              name = "good"
              when = "true"
            }
          }
        }
        "#,
        &[
            "Invalid expression: `c` has no field `tpye`, did you mean `type`?",
            r#"Duplicate name: Two infra rules are named "good""#,
        ],
    );
}

#[test]
fn mode_automatic_has_no_gates() {
    check(
        r#"
        resource "lockstep_promotion_policy" "dev" {
          name = "dev"
          mode = "automatic"
          soak = "1h"
          stages { names = ["dev", "te[st"] }
          approval { group = "sre" }
        }
        resource "lockstep_promotion_policy" "qa" {
          name    = "qa"
          mode    = "automatic"
          soak_in = { dev = "1h" }
          stages { names = ["qa"] }
        }
        resource "lockstep_promotion_policy" "test" {
          name = "test"
          mode = "automtic"
          stages { names = [] }
          approval {
            group   = "sre"
            count   = 0
            exclude = ["requestor"]
          }
          approval { group = "sre" }
        }
        "#,
        &[
            "error at `soak = \"1h\"`: Mode automatic has no gates",
            "error at `approval { group = \"sre\" }`: Mode automatic has no gates",
            "error at `soak_in = { dev = \"1h\" }`: Mode automatic has no gates",
            r#"at `stages { names = ["dev", "te[st"] }`: Invalid value: Element 1:"#,
            r#"at `mode = "automtic"`: Invalid value: "automtic" is none of the allowed words. Did you mean "automatic"?"#,
            r#"Empty list: A policy selects at least one stage"#,
            r#"at `count = 0`: Invalid value: It must be a whole number from 1"#,
            r#"Did you mean "requester"?"#,
            r#"at `approval { group = "sre" }`: Duplicate group"#,
        ],
    );
}

#[test]
fn steps_by_function_are_checked_at_the_argument() {
    check(
        &stage(
            r#"provider::lockstep::git_clone("src", { rebo = "https://example.com/x", checkout = { src = { comit = "a" } } }),"#,
        ),
        &[r#"rebo: There is no argument "rebo"; did you mean "repo"?"#],
    );
    check(
        &stage(r#"provider::lockstep::tf_apply("Apply", { plan = "p" }),"#),
        &[r#"Invalid value for "name" parameter: "Apply" is not a step name"#],
    );
    check(
        &stage(r#"provider::lockstep::tf_aply("apply", { plan = "p" }),"#),
        &["Unknown provider function"],
    );
}

#[test]
fn steps_by_hand_are_checked_as_strictly() {
    check(
        &stage(
            r#"
            { name = "a", uses = "git_clon", config = jsonencode({}) },
            { name = "b", uses = "tf_output", config = "{" },
            { name = "b", uses = "tf_output", config = jsonencode({ dri = "x" }) },
            "#,
        ),
        &[
            r#"Unknown kind of step: There is no kind of step "git_clon". Did you mean "git_clone"?"#,
            "Invalid arguments of a step: It is not JSON",
            "Duplicate name",
            "Invalid arguments of tf_output: dri: There is no argument \"dri\"; did you mean \"dir\"?",
            "Invalid arguments of tf_output: dir: Is required.",
        ],
    );
}

#[test]
fn a_number_by_hand_keeps_its_digits_or_is_refused() {
    let step = |number: &str| {
        let config =
            format!("{{\\\"dir\\\":\\\"x\\\",\\\"vars\\\":{{\\\"account\\\":[{number}]}}}}");
        stage(&format!("{{ name = \"plan\", uses = \"tf_plan\", config = \"{config}\" }},"))
    };
    check(&step("18446744073709551615"), &[]);
    check(&step("0.25"), &[]);
    // What the client writes of 1 / 3.
    check(&step(&format!("0.{}", "3".repeat(154))), &[]);
    let number = "123456789012345678901";
    check(&step(number), &[&format!("{number} has more digits than a number can keep")]);
}

/// As the description of `steps` says: the client drops what it does not know of an object that is
/// written by hand, and a function sees it.
#[test]
fn only_functions_see_a_misspelt_name_beside_the_arguments() {
    let by_hand = r#"
        {
          name    = "clear"
          uses    = "git_clear"
          config  = jsonencode({ dir = "x" })
          control = { when = "no_such_name" }
          contrl  = { attempts = 3 }
        },
    "#;
    check(&stage(by_hand), &[]);
    let by_function = r#"provider::lockstep::git_clear("clear", { dir = "x", contrl = {} }),"#;
    check(&stage(by_function), &[r#"contrl: There is no argument "contrl""#]);
    let in_config = r#"
        { name = "clear", uses = "git_clear", config = jsonencode({ dir = "x", contrl = {} }) },
    "#;
    check(&stage(in_config), &[r#"contrl: There is no argument "contrl""#]);
}

#[test]
fn steps_refer_to_steps_before_them() {
    check(
        &stage(
            r#"
            provider::lockstep::tf_plan("plan", { dir = "{{ vars.regoin }}" }),
            provider::lockstep::tf_apply("apply", { plan = "pln" }),
            provider::lockstep::tf_output("out", { dir = "{{ steps.late.commits }}" }),
            provider::lockstep::git_clone("late", { repo = "{{ freight.any.thing }}", checkout = {} }),
            provider::lockstep::git_push("push", { dir = "{{ steps.late.comits }}" }),
            provider::lockstep::tf_output("more", { dir = "{{ freight_from('blog').x.tag }}" }),
            "#,
        ),
        &[
            "dir: `vars` has no field `regoin`, did you mean `region`?",
            "Unknown plan: plan: No `tf_plan` step before this one has the name \"pln\". Did you mean \"plan\"?",
            "dir: `steps` has no field `late`",
            "dir: `steps.late` has no field `comits`",
            "dir: `freight_from` knows no \"blog\"",
        ],
    );
}

#[test]
fn a_stage_is_not_its_own_upstream() {
    check(
        r#"
        resource "lockstep_stage" "prod" {
          name = "prod"
          request {
            warehouse = "shop"
            from      = ["staging", "prod"]
            match     = "al"
          }
          request { warehouse = "shop" }
          verification {
            name     = "errors"
            template = "no such name"
          }
        }
        resource "lockstep_stage" "lonely" { name = "lonely" }
        "#,
        &[
            "Circle of stages: Stage \"prod\" would wait for itself: prod -> prod.",
            "at `match = \"al\"`: Invalid value",
            "Duplicate warehouse",
            "at `template = \"no such name\"`: Invalid value",
            "Insufficient request blocks",
        ],
    );
}

#[test]
fn checks_are_checked() {
    check(
        r#"
        resource "lockstep_verification" "errors" {
          name     = "errors"
          measurements = 1.5
          deadline = "-5m"
          http {
            name    = "up"
            url     = "example.com"
            success = "respons.status == 200"
          }
          http {
            name    = "json"
            url     = "http://{{ args.host }}/health"
            headers = { "X-A" = "{{ " }
            method  = "get"
            success = "response.stauts == 200"
          }
          prometheus {
            name    = "up"
            address = "http://127.0.0.1:9090"
            query   = "up"
            success = "result.value <"
          }
        }
        resource "lockstep_verification" "none" { name = "none" }
        "#,
        &[
            "at `measurements = 1.5`: Invalid value",
            "at `deadline = \"-5m\"`: Invalid value: `-5m` is negative",
            "at `url = \"example.com\"`: Invalid value: \"example.com\" is not a URL",
            "Unknown name `respons`, did you mean `response`?",
            "Invalid value: \"X-A\": `{{` is not closed",
            "at `method = \"get\"`: Invalid value",
            "`response` has no field `stauts`, did you mean `status`?",
            "at `success = \"result.value <\"`: Invalid value",
            "Duplicate name",
            "Missing check",
        ],
    );
}

#[test]
fn what_is_not_known_yet_is_not_judged() {
    check(
        r#"
        resource "terraform_data" "late" {}
        variable "subscriptions" { type = map(string) }
        resource "lockstep_warehouse" "shop" {
          name     = terraform_data.late.id
          interval = terraform_data.late.id
          dynamic "git" {
            for_each = var.subscriptions
            content {
              name   = git.key
              repo   = git.value
              branch = "main"
            }
          }
          freight { require = "freight.whatever.version.major > 1" }
        }
        resource "lockstep_stage" "dev" {
          name  = "dev"
          vars  = { region = terraform_data.late.id }
          steps = [
            provider::lockstep::tf_plan(terraform_data.late.id, { dir = terraform_data.late.id }),
            provider::lockstep::tf_apply("apply", { plan = "p" }),
            { name = "out", uses = terraform_data.late.id, config = terraform_data.late.id },
            provider::lockstep::tf_output("more", { dir = "{{ steps.any.thing }}" }),
          ]
          request { warehouse = lockstep_warehouse.shop.name }
        }
        "#,
        &[],
    );
}

#[test]
fn provider_settings_are_checked() {
    check(
        r#"
        provider "lockstep" {
          endpoint   = "localhost"
          token      = "a"
          token_file = "b"
          project    = "Shop"
        }
        resource "lockstep_project" "shop" { name = "shop" }
        "#,
        &[
            "Invalid value: \"localhost\" is not a URL",
            "Conflicting settings: Both `token` and `token_file` are set",
            "Invalid value: \"Shop\" is not a project name",
        ],
    );
}

#[test]
fn the_secrets_of_a_credential_have_a_version() {
    let credential = |secrets: &str| {
        format!(
            "resource \"lockstep_credential\" \"it\" {{\n  name = \"git\"\n  kind = \"git\"\n  \
             address = \"https://git.example.com/shop\"\n  {secrets}\n}}\n"
        )
    };
    let data = "data_wo = { token = \"hunter2hunter2\" }";
    check(&credential(&format!("{data}\n  data_wo_version = 1")), &[]);
    check(
        &credential(data),
        &["Missing version: `data_wo` is sent when `data_wo_version` changes"],
    );
    let from = "from {\n    key = \"token\"\n    env = \"GIT_TOKEN\"\n  }";
    check(&credential(from), &[]);
    check(&credential(&format!("{from}\n  data_wo_version = 1")), &["there is none"]);
}

#[test]
fn which_freight_is_meant_must_be_clear() {
    check(
        r#"
        data "lockstep_freight" "any" {}
        data "lockstep_freight" "both" {
          id    = "abc"
          stage = "dev"
        }
        "#,
        &["Which freight?", "Conflicting settings: Freight is read by `id`, or"],
    );
}

#[test]
fn measurements_end_in_time() {
    let verification = |settings: &str, method: &str| {
        format!(
            "resource \"lockstep_verification\" \"it\" {{\n  name = \"it\"\n  {settings}\n  http \
             {{\n    name = \"up\"\n    url = \"https://example.com\"\n    success = \
             \"response.status == 200\"\n    method = \"{method}\"\n  }}\n}}\n"
        )
    };
    check(&verification("", "HEAD"), &[]);
    check(&verification("", "PATCH"), &["Invalid value"]);
    check(
        &verification("measurements = 100\n  deadline = \"5m\"", "GET"),
        &["error at `deadline = \"5m\"`: Measurements cannot be: 100 measurements need"],
    );
    check(
        &verification("interval = \"0s\"", "GET"),
        &["error at `interval = \"0s\"`: Measurements cannot be: Measurements would follow"],
    );
}

#[test]
fn a_credential_fits_its_server() {
    let credential = |kind: &str, address: &str, login: &str, data: &str| {
        format!(
            "resource \"lockstep_credential\" \"it\" {{\n  name = \"it\"\n  kind = \"{kind}\"\n  \
             address = \"{address}\"\n  {login}\n  data_wo = {data}\n  data_wo_version = 1\n}}\n"
        )
    };
    let user = "username = \"ada\"";
    let git = "https://git.example.com/team";
    let password = "{ password = \"hunter2hunter2\" }";
    check(&credential("git", git, user, password), &[]);
    check(
        &credential("image", "https://registry.example.com", user, password),
        &["error at `address = \"https://registry.example.com\"`: Credential cannot be"],
    );
    check(&credential("git", git, "", password), &["A password goes with a user name"]);
    let both = "{ password = \"hunter2hunter2\", token = \"hunter2hunter2\" }";
    check(&credential("git", git, user, both), &["takes exactly one of"]);
    let token = "{ tokn = \"hunter2hunter2\" }";
    check(&credential("git", git, "", token), &["Unknown secret"]);
}
