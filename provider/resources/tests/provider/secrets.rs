//! The provider's own token: nothing that is told has it, wherever it came from.

use std::fs;

use provider_kit::client::Client;
use provider_protocol::cty::Value;
use provider_resources::Lockstep;

use crate::terraform::Terraform;
use crate::trouble::{Rogue, say};
use crate::wire::configure;

/// Refuses everything, and says to whom.
fn gossip() -> Rogue {
    Rogue::start(|request, stream| {
        let bearer = request.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
        let problem = format!(
            r#"{{ "type": "https://lockstep.dev/errors/forbidden", "code": "forbidden",
                "title": "Forbidden", "status": 403, "detail": "{} may do nothing" }}"#,
            bearer.expect("a token")
        );
        say(stream, "403 Forbidden\r\ncontent-type: application/problem+json", &problem);
    })
}

#[test]
fn a_token_of_the_environment_is_in_no_message() {
    let rogue = gossip();
    let mut terraform =
        Terraform::at(&rogue.endpoint, "resource \"lockstep_project\" \"it\" { name = \"it\" }");
    terraform.set("LOCKSTEP_TOKEN", "tok3n-of-the-environment");
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("(sensitive) may do nothing"), "{}", plan.text);
    assert!(!plan.text.contains("tok3n-of-the-environment"), "{}", plan.text);
}

#[tokio::test]
async fn a_token_of_a_file_is_in_no_message() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "tok3n-of-a-file\n").unwrap();
    let rogue = gossip();
    let mut client = Client::in_process(Lockstep).await;
    let path = file.path().to_str().unwrap();
    let fields = [("token", Value::Null), ("token_file", path.into())];
    let told = configure(&mut client, &rogue.endpoint, &fields).await.concat();
    assert!(told.contains("(sensitive) may do nothing"), "{told}");
}
