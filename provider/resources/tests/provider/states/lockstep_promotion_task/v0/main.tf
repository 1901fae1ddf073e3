resource "lockstep_promotion_task" "it" {
  name        = "release"
  description = "Writes the image, and pushes that."

  input {
    name        = "cluster"
    description = "A directory below apps."
  }
  input {
    name    = "replicas"
    type    = "number"
    default = 2
  }
  input {
    name    = "regions"
    type    = "list"
    default = "[ \"eu\", \"us\" ]"
  }

  steps = [
    { name = "src", uses = "git_clone", config = "{\"repo\": \"https://git.example.com/gitops\", \"checkout\": {\"gitops\": {\"branch\": \"main\"}}}" },
    { name = "note", uses = "write", config = jsonencode({
      path    = "gitops/apps/{{ inputs.cluster }}/{{ each.value }}.txt"
      text    = "{{ freight.api.tag }} {{ inputs.replicas }}"
      control = { for_each = "{{ inputs.regions }}", timeout = "60s" }
    }) },
    { name = "commit", uses = "git_commit", config = jsonencode({ dir = "gitops", message = "{{ freight.api.tag }}" }) },
    { name = "push", uses = "git_push", config = jsonencode({ dir = "gitops" }) },
  ]
}
