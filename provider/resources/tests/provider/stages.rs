//! What the data source of a stage shows.

use provider_protocol::cty::Value;
use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::wire::{beside, client, data};

#[test]
fn a_stage_shows_how_it_fares() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Stage, "dev", json!({ "requests": [{ "warehouse": "shop" }] }));
    beside(&daemon, async |daemon| {
        let mut client = client(daemon, Some("shop")).await;
        let (stage, told) = data(&mut client, "lockstep_stage", &[("name", "dev".into())]).await;
        assert_eq!(told, [""; 0]);
        let condition = Value::object([
            ("type", Value::from("Moving")),
            ("status", "false".into()),
            ("reason", "NoFreight".into()),
            ("message", "no freight is available".into()),
        ]);
        assert_eq!(stage.get("conditions"), Some(&Value::List(vec![condition])));
    });
}
