//! Freezes: what is wrong with one before it is sent, and its life.

use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::terraform::Terraform;

const FREEZES: &str = r#"
resource "lockstep_project" "shop" {
  name = "shop"
}

resource "lockstep_freeze" "year_end" {
  project = lockstep_project.shop.name
  name    = "year-end"
  reason  = "books close"
  from    = "2030-12-20T01:00:00+01:00"

  window {
    rule     = "FREQ=DAILY;BYHOUR=8"
    duration = "600m"
    timezone = "Europe/Berlin"
  }

  except {
    groups = ["oncall"]
  }
}

resource "lockstep_freeze" "plain" {
  project = lockstep_project.shop.name
  name    = "plain"
  reason  = "an incident"
}
"#;

#[test]
fn a_freeze_lives_and_ends() {
    let daemon = Daemon::start();
    let terraform = Terraform::at(&daemon.endpoint, FREEZES);
    terraform.apply();
    let sent = daemon.spec(Kind::Freeze, "year-end").unwrap();
    assert_eq!(sent["from"], "2030-12-20T00:00:00Z");
    assert_eq!(sent["actions"], json!(["promote", "bypass"]));
    // The daemon says the same in its own words.
    daemon.edit(Kind::Freeze, "year-end", |spec| spec["window"]["duration"] = json!("10h"));
    terraform.plan_is_empty();
    terraform.write(&FREEZES.replace("an incident", "a large incident"));
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("0 to add, 1 to change, 0 to destroy"), "{}", plan.text);
    terraform.apply();
    assert_eq!(daemon.spec(Kind::Freeze, "plain").unwrap()["reason"], "a large incident");
    let run = terraform.run(&["destroy", "-auto-approve", "-no-color"]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert_eq!(daemon.spec(Kind::Freeze, "plain"), None);
}

const INSTANCE: &str = r#"
resource "lockstep_instance_freeze" "year_end" {
  name   = "year-end"
  reason = "books close"

  except {
    projects = ["lab-*"]
    groups   = ["oncall"]
  }
}
"#;

#[test]
fn a_freeze_of_every_project_is_in_none() {
    let daemon = Daemon::start();
    let terraform = Terraform::at(&daemon.endpoint, INSTANCE);
    terraform.apply();
    let sent = || {
        let key = (Kind::InstanceFreeze, String::new(), "year-end".to_owned());
        daemon.world().objects.get(&key).map(|object| object.spec.clone())
    };
    let except = json!({
        "projects": ["lab-*"], "stages": [], "principals": [], "groups": ["oncall"],
    });
    assert_eq!(sent().unwrap()["except"], except);
    terraform.plan_is_empty();
    terraform.write(&INSTANCE.replace("lab-*", "lab"));
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("0 to add, 1 to change, 0 to destroy"), "{}", plan.text);
    terraform.apply();
    assert_eq!(sent().unwrap()["except"]["projects"], json!(["lab"]));
    let run = terraform.run(&["state", "rm", "lockstep_instance_freeze.year_end"]);
    assert_eq!(run.code, 0, "{}", run.text);
    let run = terraform.run(&["import", "lockstep_instance_freeze.year_end", "year-end"]);
    assert_eq!(run.code, 0, "{}", run.text);
    terraform.plan_is_empty();
    let run = terraform.run(&["destroy", "-auto-approve", "-no-color"]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert_eq!(sent(), None);
    let of_a_project = INSTANCE.replace("name   =", "project = \"shop\"\n  name   =");
    let told = Terraform::new(&of_a_project).validate();
    assert!(told.iter().any(|it| it.contains("Unsupported argument")), "{told:#?}");
    let nothing =
        INSTANCE.replace("projects = [\"lab-*\"]", "").replace("groups   = [\"oncall\"]", "");
    let told = Terraform::new(&nothing).validate();
    assert!(told.iter().any(|it| it.contains("Nothing is excepted")), "{told:#?}");
}

#[test]
fn what_a_freeze_cannot_be_is_told_at_its_place() {
    let freeze = |rest: &str| {
        format!(
            "resource \"lockstep_freeze\" \"x\" {{\n  name = \"x\"\n  reason = \"y\"\n{rest}\n}}\n"
        )
    };
    let check = |rest: &str, expected: &[&str]| {
        let mut told = Terraform::new(&freeze(rest)).validate();
        told.sort();
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{told} is not {expected}");
        }
    };
    check("", &[]);
    check(
        "  from  = \"2030-01-02T00:00:00Z\"\n  until = \"2030-01-02T00:00:00Z\"",
        &["A freeze has to run"],
    );
    check("  actions = []\n  except {\n  }", &["A freeze is about", "Nothing is excepted"]);
    check("  except {\n    stages = [\"dev[\"]\n  }", &["Not a glob"]);
    check("  except {\n    stage = [\"dev\"]\n  }", &["Unsupported argument"]);
    check("  actions = [\"deploy\"]", &["deploy"]);
    let window = |rule: &str, duration: &str| {
        format!(
            "  window {{\n    rule = \"{rule}\"\n    duration = \"{duration}\"\n    timezone = \
             \"UTC\"\n  }}"
        )
    };
    check(&window("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "1h"), &["Window cannot be"]);
    check(&window("FREQ=OFTEN", "1h"), &["Invalid value"]);
    check(&window("FREQ=DAILY", "400d"), &["An occurrence lasts"]);
}
