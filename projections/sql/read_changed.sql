-- When anybody of the group of each of these was last touched.
SELECT own.id, max(member.changed)
FROM json_each(?) AS asked CROSS JOIN identifiers AS own ON own.id = asked.value
    CROSS JOIN identifiers AS member ON member.grp = own.grp
GROUP BY own.id
