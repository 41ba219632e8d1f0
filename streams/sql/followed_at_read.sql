SELECT in_step FROM followed_at WHERE one = 1;
