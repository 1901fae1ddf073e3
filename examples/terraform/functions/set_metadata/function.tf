locals {
  # Later promotions read {{ stage.metadata.url }}, every stage {{ freight_metadata.smoke }}.
  note = provider::lockstep::set_metadata("note", {
    stage   = { url = "{{ steps.outputs.url }}" }
    freight = { smoke = "passed" }
  })
}
