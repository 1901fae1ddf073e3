locals {
  # Planned, judged and approved like any other plan; `tf_apply` carries it out.
  retire = [
    provider::lockstep::tf_destroy("retire", {
      dir     = "infra/live/{{ stage.name }}"
      targets = ["module.legacy"]
    }),
    provider::lockstep::tf_apply("retired", { plan = "retire" }),
  ]
}
