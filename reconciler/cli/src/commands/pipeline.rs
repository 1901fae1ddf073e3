//! `lockstep pipeline`: the graph of a project's stages.

use clap::Args;

use crate::failure::Failure;
use crate::render::pipeline;
use crate::session::Session;

/// Arguments of `lockstep pipeline`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Draw it as a Mermaid flowchart
    #[arg(long)]
    mermaid: bool,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let graph = session.client.pipeline(&project).await?;
    if arguments.mermaid {
        return session.out.text(&graph.to_mermaid());
    }
    session.out.answer(&graph, pipeline::text)
}
