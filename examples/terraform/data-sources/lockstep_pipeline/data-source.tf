data "lockstep_pipeline" "shop" {}

# Drawn by every viewer of Markdown that knows Mermaid.
output "pipeline" {
  value = "```mermaid\n${data.lockstep_pipeline.shop.mermaid}```"
}

# Every stage is guarded by some policy.
check "guarded" {
  assert {
    condition     = alltrue([for s in data.lockstep_pipeline.shop.stages : length(s.policies) > 0])
    error_message = "A stage has no policy."
  }
}
