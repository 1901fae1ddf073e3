//! `lockstep_promotion`: what asks for a promotion, and what does not.

use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::{Daemon, FREIGHT};
use crate::terraform::Terraform;

fn promotion(settings: &str) -> String {
    format!("resource \"lockstep_promotion\" \"it\" {{\n  stage = \"dev\"\n  {settings}\n}}\n")
}

fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Stage, "dev", json!({ "requests": [{ "warehouse": "shop" }] }));
    daemon
}

/// Which freight the promotions that were asked for are of.
fn asked(daemon: &Daemon) -> Vec<serde_json::Value> {
    std::mem::take(&mut daemon.world().steered)
        .into_iter()
        .map(|(_, body)| body["freight"].clone())
        .collect()
}

#[test]
fn an_import_promotes_nothing() {
    let import = "import {\n  to = lockstep_promotion.it\n  id = \"shop/dev.1\"\n}\n";
    for settings in ["newest = true", "newest = true\n  triggers = { release = \"1\" }"] {
        let daemon = daemon();
        let terraform =
            Terraform::at(&daemon.endpoint, &format!("{import}{}", promotion(settings)));
        let plan = terraform.plan(&[]);
        assert!(plan.text.contains("1 to import, 0 to add, 1 to change"), "{}", plan.text);
        assert!(plan.text.contains("Nothing is promoted after an import"), "{}", plan.text);
        assert!(!plan.text.contains("known after apply"), "{}", plan.text);
        let run = terraform.run(&["apply", "-no-color", "plan.out"]);
        assert_eq!(run.code, 0, "{}", run.text);
        assert_eq!(asked(&daemon), [""; 0], "{settings}");
        terraform.plan_is_empty();
        terraform.write(&promotion("newest = true\n  triggers = { release = \"2\" }"));
        assert!(!terraform.apply().text.contains("after an import"));
        assert_eq!(asked(&daemon), [json!("newest")], "{settings}");
    }
    // The freight that was promoted is no other, and other freight is asked for.
    let daemon = daemon();
    let terraform = Terraform::at(
        &daemon.endpoint,
        &format!("{import}{}", promotion(&format!("freight = \"{}\"", &FREIGHT[..8]))),
    );
    terraform.apply();
    assert_eq!(asked(&daemon), [""; 0]);
    let other = "c0ffee5565630e4ac3b8a6bf96aca80276371b02";
    terraform.write(&promotion(&format!("freight = \"{other}\"")));
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("phase = \"succeeded\" -> (known after apply)"), "{}", plan.text);
}

#[test]
fn more_of_an_id_is_the_same_freight_only_if_that_was_promoted() {
    let daemon = daemon();
    let freight = |id: &str| promotion(&format!("freight = \"{id}\""));
    let terraform = Terraform::at(&daemon.endpoint, &freight(&FREIGHT[..8]));
    terraform.apply();
    assert_eq!(asked(&daemon), [json!(&FREIGHT[..8])]);
    for same in [FREIGHT, &FREIGHT[..6], &FREIGHT[..8]] {
        terraform.write(&freight(same));
        terraform.plan_is_empty();
    }
    let other = format!("{}{}", &FREIGHT[..8], "f".repeat(32));
    terraform.write(&freight(&other));
    terraform.apply();
    assert_eq!(asked(&daemon), [json!(other)]);
}
