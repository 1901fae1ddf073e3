locals {
  update = provider::lockstep::yaml_update("values", {
    path = "gitops/apps/{{ stage.name }}/values.yaml"
    updates = {
      "image.tag" = "{{ freight.api.tag }}"
      "queue.id"  = "{{ steps.outputs.queue_id }}"
    }
  })
}
