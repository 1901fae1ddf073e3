terraform import lockstep_promotion_policy.prod shop/prod
