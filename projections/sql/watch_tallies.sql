SELECT score, tier, customers FROM tallies
