locals {
  # What was made by hand becomes part of the module. The plan shows it, and the apply does it.
  adopt = [
    provider::lockstep::tf_import("existing", {
      dir     = "infra/live/{{ stage.name }}"
      imports = { "aws_s3_bucket.assets" = "shop-assets-{{ stage.name }}" }
    }),
    provider::lockstep::tf_plan("plan", { dir = "infra/live/{{ stage.name }}" }),
    provider::lockstep::tf_apply("apply", { plan = "plan" }),
  ]
}
